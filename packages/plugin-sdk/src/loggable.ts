/**
 * Turns any value into one that `JSON.stringify` takes, without ever throwing: cycles, big integers, errors, getters
 * and proxies that throw, and objects of any size.
 */

const DEPTH_LIMIT = 8;
const ENTRY_LIMIT = 100;
const TEXT_LIMIT = 8 * 1024;

type Loggable = string | number | boolean | null | Loggable[] | { [key: string]: Loggable };

/** The nearest JSON of a value. What it leaves out it says in square brackets. */
export function loggable(value: unknown): Loggable {
  return convert(value, []);
}

function convert(value: unknown, ancestors: readonly object[]): Loggable {
  switch (typeof value) {
    case "string":
      return value.length <= TEXT_LIMIT
        ? value
        : `${value.slice(0, TEXT_LIMIT)}… [${value.length} characters]`;
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "bigint":
      return value.toString();
    case "symbol":
      return value.toString();
    case "undefined":
      return "[undefined]";
    case "function":
      return "[function]";
    case "object":
      return value === null ? null : convertObject(value, ancestors);
  }
}

function convertObject(value: object, ancestors: readonly object[]): Loggable {
  if (ancestors.includes(value)) return "[circular]";
  if (ancestors.length >= DEPTH_LIMIT) return "[too deep]";
  const path = [...ancestors, value];
  try {
    if (Array.isArray(value)) return convertList(value, value.length, path);
    if (value instanceof Error) return convertError(value, path);
    if (value instanceof Date) {
      return Number.isNaN(value.getTime()) ? "[invalid date]" : value.toISOString();
    }
    if (value instanceof RegExp || value instanceof URL) return String(value);
    if (value instanceof Map || value instanceof Set) return convertList(value, value.size, path);
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
      return `[${value.byteLength} bytes]`;
    }
    if (value instanceof Promise) return "[promise]";
    const toJSON: unknown = Reflect.get(value, "toJSON");
    if (typeof toJSON === "function") return convert(Reflect.apply(toJSON, value, []), path);
    return convertProperties(value, Object.keys(value), path);
  } catch (error) {
    return thrown(error);
  }
}

function convertError(error: Error, path: readonly object[]): Loggable {
  const keys = ["name", "message", "stack"];
  if (Object.hasOwn(error, "cause")) keys.push("cause");
  if (Object.hasOwn(error, "errors")) keys.push("errors");
  return convertProperties(error, [...new Set([...keys, ...Object.keys(error)])], path);
}

function convertProperties(
  value: object,
  keys: readonly string[],
  path: readonly object[],
): Loggable {
  // Without a prototype a key named `__proto__` is a key like any other.
  const result = Object.create(null) as Record<string, Loggable>;
  for (const key of keys.slice(0, ENTRY_LIMIT)) {
    try {
      const item: unknown = Reflect.get(value, key);
      if (item !== undefined) result[key] = convert(item, path);
    } catch (error) {
      result[key] = thrown(error);
    }
  }
  if (keys.length > ENTRY_LIMIT) result["…"] = `[${keys.length - ENTRY_LIMIT} more]`;
  return result;
}

function convertList(items: Iterable<unknown>, size: number, path: readonly object[]): Loggable {
  const result: Loggable[] = [];
  for (const item of items) {
    if (result.length === ENTRY_LIMIT) {
      result.push(`[${size - ENTRY_LIMIT} more]`);
      break;
    }
    result.push(convert(item, path));
  }
  return result;
}

function thrown(error: unknown): string {
  try {
    return `[throws: ${error instanceof Error ? error.message : String(error)}]`;
  } catch {
    return "[throws]";
  }
}
