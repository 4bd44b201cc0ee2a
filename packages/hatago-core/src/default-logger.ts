import type { Logger } from "./types.js";

const LEVELS = ["debug", "info", "warn", "error"] as const;

/** How much a line matters. */
export type LogLevel = (typeof LEVELS)[number];

/** A logger that writes `[name] message` to the console. */
export function createDefaultLogger(
  name?: string | { name?: string; level?: LogLevel },
  level?: LogLevel,
): Logger {
  const options = typeof name === "object" ? name : { name, level };
  const prefix = options.name === undefined || options.name === "" ? "" : `[${options.name}] `;
  const least = LEVELS.indexOf(options.level ?? "debug");
  const write = (severity: LogLevel) => (message: string, meta?: object) => {
    if (LEVELS.indexOf(severity) < least) return;
    if (meta === undefined) console[severity](prefix + message);
    else console[severity](prefix + message, meta);
  };
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
  };
}
