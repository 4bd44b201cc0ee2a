/** How much a log line matters. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/**
 * Writes to the log of the plugin's worker. Anything may be given as `meta`: errors, cycles, big integers and objects
 * whose getters throw are all written down without failing.
 */
export interface HayLogger {
  /** Details that only help while looking for a fault. */
  debug(message: string, meta?: unknown): void;
  /** What normally happens. */
  info(message: string, meta?: unknown): void;
  /** What somebody should look at some time. */
  warn(message: string, meta?: unknown): void;
  /** What went wrong. */
  error(message: string, meta?: unknown): void;
}
