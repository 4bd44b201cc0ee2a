/** The rules for names that plugins choose. */

const POLLUTING = new Set(["__proto__", "constructor", "prototype"]);

/** Whether an object that takes this as a key can change what other objects are. */
export function isPolluting(name: string): boolean {
  return POLLUTING.has(name);
}

/** Ids of fields, methods, pages and jobs: they appear in URLs, in log lines and as keys of objects. */
export function isId(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}$/.test(name);
}

/** What an author is told about ids. */
export const ID_HINT =
  "use 1 to 100 letters, digits, `_`, `-`, `.` and `:`, with a letter, digit or `_` first";

/** Ids of MCP servers. */
export function isServerId(name: string): boolean {
  return /^[!-.0-~]{1,128}$/.test(name);
}

/** Names of environment variables. */
export function isEnvironmentName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}

/** Names of HTTP headers (RFC 9110 §5.1). */
export function isHeaderName(name: string): boolean {
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name);
}
