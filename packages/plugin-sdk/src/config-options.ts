import type { ConfigFieldOption } from "./types/config.js";
import type { JsonValue } from "./types/json.js";

/** The values that a field's options allow, without their labels. */
export function allowedValues(
  options: readonly ConfigFieldOption[] | undefined,
): JsonValue[] | undefined {
  return options?.map(optionValue);
}

/** The value of one option. An object with a `value` is a labelled one, as the host reads it too. */
export function optionValue(option: ConfigFieldOption): JsonValue {
  return isLabelled(option) ? option.value : option;
}

function isLabelled(option: ConfigFieldOption): option is { value: JsonValue; label?: string } {
  return (
    typeof option === "object" &&
    option !== null &&
    !Array.isArray(option) &&
    Object.hasOwn(option, "value")
  );
}

/** Whether two values are the same JSON. The order of an object's keys does not matter. */
export function sameJson(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== "object" || typeof right !== "object") return false;
  if (left === null || right === null || Array.isArray(left) !== Array.isArray(right)) return false;
  const [leftKeys, rightKeys] = [Object.keys(left), Object.keys(right)];
  return (
    leftKeys.length === rightKeys.length &&
    leftKeys.every(
      (key) =>
        Object.hasOwn(right, key) && sameJson(Reflect.get(left, key), Reflect.get(right, key)),
    )
  );
}
