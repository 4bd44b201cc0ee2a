/** What kind of thing a value is, for a sentence such as "must be a string, but got …". Never shows the value. */
export function described(value: unknown): string {
  switch (typeof value) {
    case "undefined":
      return "nothing";
    case "string":
      return value === "" ? "an empty string" : "a string";
    case "number":
      return Number.isFinite(value) ? "a number" : `\`${value}\``;
    case "boolean":
      return "a boolean";
    case "bigint":
      return "a big integer";
    case "symbol":
      return "a symbol";
    case "function":
      return "a function";
    case "object":
      if (value === null) return "`null`";
      if (Array.isArray(value)) return "an array";
      if (value instanceof Promise) return "a promise";
      return "an object";
  }
}
