/**
 * Turns what plugins log into one line of JSON each. Must not fail on anything that a plugin can pass, and must not
 * know where the lines go.
 */

import { loggable } from "./loggable.js";
import type { HayLogger, LogLevel } from "./types/logger.js";

/** Takes one line, which has no line break in it or at its end. */
export type LogWriter = (line: string) => void;

/** The longest line that a host keeps whole, in bytes. */
const LINE_LIMIT = 16 * 1024;

/** A logger that writes `{"level","message","meta"}` lines. */
export class Logger implements HayLogger {
  readonly #write: LogWriter;
  readonly #prefix: string;

  /**
   * @param target where the lines go, or a name that is put before every message. Lines go to standard output, which is
   * where the host reads them, unless told otherwise.
   */
  constructor(target?: LogWriter | string) {
    this.#write = typeof target === "function" ? target : writeToStandardOutput;
    this.#prefix = typeof target === "string" && target !== "" ? `[${target}] ` : "";
  }

  debug(message: string, meta?: unknown): void {
    this.#log("debug", message, meta);
  }

  info(message: string, meta?: unknown): void {
    this.#log("info", message, meta);
  }

  warn(message: string, meta?: unknown): void {
    this.#log("warn", message, meta);
  }

  error(message: string, meta?: unknown): void {
    this.#log("error", message, meta);
  }

  #log(level: LogLevel, message: unknown, meta: unknown): void {
    // A log that cannot be written must not break the plugin's own work.
    try {
      this.#write(logLine(level, message, meta, this.#prefix));
    } catch {
      return;
    }
  }
}

/** Makes a logger. See `Logger`. */
export function createLogger(target?: LogWriter | string): Logger {
  return new Logger(target);
}

function logLine(level: LogLevel, message: unknown, meta: unknown, prefix: string): string {
  const text = prefix + textOf(message);
  // `logger.error(error)` is written by people who want to see the stack.
  const details = meta === undefined && typeof message === "object" ? message : meta;
  if (details === undefined || details === null) return fitted(level, text);
  const line = JSON.stringify({ level, message: text, meta: loggable(details) });
  return Buffer.byteLength(line) <= LINE_LIMIT ? line : fitted(level, text, line.length);
}

/** The line without its `meta`, and with as much of the message as the limit allows. */
function fitted(level: LogLevel, text: string, metaLength?: number): string {
  const meta = metaLength === undefined ? undefined : `[left out: ${metaLength} characters]`;
  const line = JSON.stringify({ level, message: text, meta });
  if (Buffer.byteLength(line) <= LINE_LIMIT) return line;
  // A character takes at most six bytes in JSON (`\u0000`), so this always fits.
  const kept = text.slice(0, Math.floor(LINE_LIMIT / 6) - 64);
  const message = `${kept}… [${text.length} characters]`;
  return JSON.stringify({ level, message, meta });
}

function textOf(message: unknown): string {
  if (typeof message === "string") return message;
  const value = loggable(message instanceof Error ? propertyOf(message, "message") : message);
  return typeof value === "string" ? value : JSON.stringify(value);
}

function propertyOf(value: object, key: string): unknown {
  try {
    return Reflect.get(value, key);
  } catch {
    return `[throws: ${key}]`;
  }
}

function writeToStandardOutput(line: string): void {
  process.stdout.write(`${line}\n`);
}
