/** Checks `register.config`. */

import { optionValue, sameJson } from "../config-options.js";
import type { ConfigFieldType } from "../types/config.js";
import type { JsonValue } from "../types/json.js";
import type { HayLogger } from "../types/logger.js";
import type { ConfigFieldMetadata } from "../types/metadata.js";
import { described } from "./described.js";
import { jsonCopy } from "./json-copy.js";
import { ID_HINT, isEnvironmentName, isId, isPolluting } from "./names.js";
import type { Problems } from "./problems.js";
import { compact, Reader } from "./reader.js";

const TYPES = [
  "string",
  "number",
  "boolean",
  "json",
  "array",
  "object",
] as const satisfies ConfigFieldType[];

/** The settings that a plugin registered so far. */
export class ConfigFields {
  readonly #declared = new Set<string>();
  readonly #fields = new Map<string, ConfigFieldMetadata>();

  constructor(
    private readonly problems: Problems,
    private readonly logger: HayLogger,
  ) {}

  /** Takes the fields of one call of `register.config`. */
  add(schema: unknown): void {
    const reader = Reader.of(schema, "register.config", this.problems);
    if (reader === undefined) return;
    for (const name of reader.unread()) this.#addField(name, reader);
    // `{ __proto__: … }` is no key but a prototype, whose fields would silently not be registered.
    const prototype: unknown = Object.getPrototypeOf(schema);
    if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
      this.problems.add(
        "register.config",
        "must be a plain object, but has a prototype of its own",
        "list every field in the object itself; `__proto__` is not a field name",
      );
    }
  }

  /** Whether a field was registered, right or wrong: a reference to a wrong one is not a second problem. */
  has(name: string): boolean {
    return this.#declared.has(name);
  }

  /** A field that was registered and is right. */
  get(name: string): ConfigFieldMetadata | undefined {
    return this.#fields.get(name);
  }

  /** The names of all fields. */
  names(): string[] {
    return [...this.#declared];
  }

  /** All fields, in the order of registration. */
  toMetadata(): Record<string, ConfigFieldMetadata> {
    return Object.fromEntries(this.#fields);
  }

  #addField(name: string, schema: Reader): void {
    const at = schema.place(name);
    if (isPolluting(name)) {
      this.#declared.add(name);
      this.problems.add(at, `\`${name}\` is not allowed as a field name`, "choose another name");
      return;
    }
    if (!isId(name)) {
      this.problems.add(at, `\`${name}\` is not a field name`, ID_HINT);
    }
    if (this.#declared.has(name)) {
      this.problems.add(at, `the field \`${name}\` is registered twice`, "keep one of the two");
      return;
    }
    this.#declared.add(name);
    const before = this.problems.count;
    const reader = Reader.of(schema.raw(name), at, this.problems);
    if (reader === undefined) return;
    const field = this.#read(reader);
    if (field !== undefined && this.problems.count === before) this.#fields.set(name, field);
  }

  #read(reader: Reader): ConfigFieldMetadata | undefined {
    const type = reader.choice("type", TYPES);
    const env = reader.optionalText("env");
    if (env !== undefined && !isEnvironmentName(env)) {
      this.problems.add(
        reader.place("env"),
        `\`${env}\` is not a name of an environment variable`,
        "use letters, digits and `_`, such as `STRIPE_API_KEY`",
      );
    }
    const [sensitive, encrypted] = [reader.flag("sensitive"), reader.flag("encrypted")];
    const common = {
      label: reader.optionalText("label"),
      description: reader.optionalText("description"),
      required: reader.flag("required"),
      env,
      sensitive: sensitive === true || encrypted === true ? true : undefined,
      placeholder: reader.optionalText("placeholder"),
      regex: reader.optionalText("regex"),
    };
    const values = {
      default: reader.raw("default"),
      options: reader.raw("options"),
    };
    // What they say is the host's to check, beside the values that it is given.
    const shape = {
      items: this.#shape(reader, "items") as ConfigFieldMetadata["items"],
      properties: this.#shape(reader, "properties") as ConfigFieldMetadata["properties"],
    };
    const unread = reader.unread();
    if (unread.length > 0) {
      this.logger.warn(`\`${reader.at}\` has properties that mean nothing: ${unread.join(", ")}`);
    }
    if (type === undefined) return undefined;

    const pattern = this.#pattern(reader, type, common.regex);
    const options = this.#options(reader, type, values.options);
    const fallback = this.#default(reader, type, values.default);
    if (fallback !== undefined) {
      const allowed = options?.map((option) => optionValue(option));
      if (allowed !== undefined && !allowed.some((option) => sameJson(option, fallback))) {
        this.problems.add(
          reader.place("default"),
          "is not one of the options",
          `use ${allowed.map((option) => `\`${JSON.stringify(option)}\``).join(", ")}, or add it to the options`,
        );
      }
      if (pattern !== undefined && typeof fallback === "string" && !pattern.test(fallback)) {
        this.problems.add(reader.place("default"), `does not match \`${pattern.source}\``);
      }
      if (common.sensitive === true && fallback !== "") {
        this.logger.warn(
          `\`${reader.place("default")}\` belongs to a secret, but everybody who sees the settings form sees it`,
        );
      }
    }
    return compact({ type, ...common, default: fallback, options, ...shape });
  }

  #shape(reader: Reader, key: string): JsonValue | undefined {
    const value = reader.raw(key);
    return value === undefined ? undefined : jsonCopy(value, reader.place(key), this.problems);
  }

  #default(reader: Reader, type: ConfigFieldType, value: unknown): JsonValue | undefined {
    if (value === undefined) return undefined;
    const at = reader.place("default");
    if (type === "json" || ((type === "array" || type === "object") && isOfType(value, type))) {
      return jsonCopy(value, at, this.problems);
    }
    if (isOfType(value, type)) return value;
    this.problems.add(at, `must be ${ARTICLE[type]}, but got ${described(value)}`);
    return undefined;
  }

  #options(reader: Reader, type: ConfigFieldType, value: unknown): JsonValue[] | undefined {
    if (value === undefined) return undefined;
    const at = reader.place("options");
    if (!Array.isArray(value)) {
      this.problems.add(at, `must be an array, but got ${described(value)}`);
      return undefined;
    }
    if (value.length === 0) {
      this.problems.add(at, "is empty, so no value would be allowed", "leave it out");
      return undefined;
    }
    const before = this.problems.count;
    const options: JsonValue[] = [];
    value.forEach((given: unknown, index) => {
      const place = `${at}[${index}]`;
      const option = jsonCopy(given, place, this.problems);
      if (option === undefined) return;
      const allowed = optionValue(option);
      if (!isOfType(allowed, type)) {
        this.problems.add(place, `must be ${ARTICLE[type]}, but got ${described(allowed)}`);
      } else if (allowed !== option && !isLabel(Reflect.get(option as object, "label"))) {
        this.problems.add(`${place}.label`, "must be a string");
      } else if (options.some((o) => sameJson(optionValue(o), allowed))) {
        this.problems.add(place, "is there twice");
      }
      options.push(option);
    });
    return this.problems.count === before ? options : undefined;
  }

  #pattern(reader: Reader, type: ConfigFieldType, regex: string | undefined): RegExp | undefined {
    if (regex === undefined) return undefined;
    const at = reader.place("regex");
    if (type !== "string") {
      this.problems.add(at, `only a \`string\` can have a pattern, but this is a \`${type}\``);
      return undefined;
    }
    try {
      const pattern = new RegExp(regex, "u");
      if (/\(\?<?[=!]|\\[1-9]|\\k</.test(regex)) {
        this.logger.warn(
          `\`${at}\` looks around or back, which the host's patterns cannot: it will not be checked`,
        );
      }
      return pattern;
    } catch {
      this.problems.add(
        at,
        `\`${regex}\` is not a regular expression`,
        "it is read in JavaScript's syntax with the flag `u`, without slashes around it",
      );
      return undefined;
    }
  }
}

/** How a kind is spoken of. */
const ARTICLE = {
  string: "a string",
  number: "a number",
  boolean: "a boolean",
  json: "JSON",
  array: "an array",
  object: "an object",
} as const satisfies Record<ConfigFieldType, string>;

function isOfType(value: unknown, type: ConfigFieldType): value is JsonValue {
  switch (type) {
    case "json":
      return true;
    case "array":
      return Array.isArray(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "number":
      return typeof value === "number" && Number.isFinite(value);
    case "string":
    case "boolean":
      return typeof value === type;
  }
}

function isLabel(value: unknown): boolean {
  return value === undefined || typeof value === "string";
}
