import type { JsonValue } from "../types/json.js";
import { described } from "./described.js";
import { isPolluting } from "./names.js";
import type { Problems } from "./problems.js";

const DEPTH_LIMIT = 32;

/**
 * A copy of a value that must survive as JSON, or `undefined` after telling what would not. Unlike `JSON.stringify` it
 * changes nothing silently: a date, a function, `NaN` and a cycle are problems.
 */
export function jsonCopy(value: unknown, at: string, problems: Problems): JsonValue | undefined {
  const before = problems.count;
  const copy = convert(value, at, problems, []);
  return problems.count === before ? copy : undefined;
}

function convert(
  value: unknown,
  at: string,
  problems: Problems,
  ancestors: readonly object[],
): JsonValue {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (typeof value !== "object") {
    problems.add(at, `${described(value)} cannot be written as JSON`);
    return null;
  }
  if (ancestors.includes(value)) {
    problems.add(at, "contains itself, so it cannot be written as JSON");
    return null;
  }
  if (ancestors.length >= DEPTH_LIMIT) {
    problems.add(at, `is nested more than ${DEPTH_LIMIT} levels deep`);
    return null;
  }
  const path = [...ancestors, value];
  if (Array.isArray(value)) {
    return Array.from(value, (item: unknown, index) =>
      convert(item, `${at}[${index}]`, problems, path),
    );
  }
  if (!isPlain(value)) {
    problems.add(
      at,
      "is an instance of a class, which cannot be written as JSON",
      "give a plain object, array, string, number or boolean",
    );
    return null;
  }
  const copy: Record<string, JsonValue> = {};
  for (const [key, item] of Object.entries(value) as [string, unknown][]) {
    if (isPolluting(key)) {
      problems.add(`${at}.${key}`, `\`${key}\` is not allowed as a key`, "choose another name");
    } else if (item !== undefined) {
      copy[key] = convert(item, `${at}.${key}`, problems, path);
    }
  }
  return copy;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  // A plugin's context may have an `Object` of its own, whose prototype ends the chain just the same.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
