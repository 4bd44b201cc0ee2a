/**
 * Resolves configuration values: the organization's own, else the allowed environment variable's, else the default.
 * Must not know where any of the three come from.
 */

import { allowedValues, sameJson } from "./config-options.js";
import { ConfigMissingError, ConfigValueError } from "./errors.js";
import type {
  ConfigFieldDescriptor,
  ConfigSchema,
  UntypedConfigRuntimeAPI,
} from "./types/config.js";

/** What values are resolved from. */
export interface ConfigRuntimeOptions {
  /** The registered fields. */
  schema: ConfigSchema;
  /**
   * The organization's values. `undefined` and `null` are no values. Names that the schema does not have can be read
   * too: while credentials are validated, they are among the values.
   */
  values: Readonly<Record<string, unknown>>;
  /** The environment variables that the manifest allows. */
  allowedEnv: readonly string[];
  /** The environment. Names outside `allowedEnv` are never looked at; an empty text is no value. */
  environment: Readonly<Record<string, string | undefined>>;
}

/** Makes the `config` of a plugin's contexts. */
export function createConfigRuntime(options: ConfigRuntimeOptions): UntypedConfigRuntimeAPI {
  const allowed = new Set(options.allowedEnv);

  function resolve(key: string): unknown {
    const own = Object.hasOwn(options.values, key) ? options.values[key] : undefined;
    // A copy, so that a plugin that changes what it got does not change what it gets next.
    if (own !== undefined && own !== null) return copied(own);
    const field = fieldOf(options.schema, key);
    if (field?.env !== undefined && allowed.has(field.env)) {
      const text = Object.hasOwn(options.environment, field.env)
        ? options.environment[field.env]
        : undefined;
      if (text !== undefined && text !== "") return fromEnvironment(key, field.env, field, text);
    }
    return copied(field?.default);
  }

  function required(key: string): unknown {
    const value = resolve(key);
    if (value !== undefined) return value;
    const field = fieldOf(options.schema, key);
    if (field === undefined) {
      throw new ConfigMissingError(key, undefined, unknownField(key, options.schema));
    }
    if (field.required === true) {
      throw new ConfigMissingError(key, field.label, missing(key, field, allowed));
    }
    return undefined;
  }

  return {
    get: required as UntypedConfigRuntimeAPI["get"],
    getOptional: resolve as UntypedConfigRuntimeAPI["getOptional"],
    keys: () => Object.keys(options.schema),
  };
}

function copied(value: unknown): unknown {
  return typeof value === "object" && value !== null ? structuredClone(value) : value;
}

function fieldOf(schema: ConfigSchema, key: string): ConfigFieldDescriptor | undefined {
  return Object.hasOwn(schema, key) ? schema[key] : undefined;
}

function fromEnvironment(
  key: string,
  env: string,
  field: ConfigFieldDescriptor,
  text: string,
): unknown {
  const value = converted(field, text);
  if (value === undefined) {
    // The text may be a secret, so the message does not show it.
    const expected = EXPECTED[field.type];
    throw new ConfigValueError(
      key,
      env,
      `the environment variable \`${env}\` for the configuration field ${named(key, field)} must be ${expected}`,
    );
  }
  const options = allowedValues(field.options);
  if (options !== undefined && !options.some((option) => sameJson(option, value))) {
    throw new ConfigValueError(
      key,
      env,
      `the environment variable \`${env}\` for the configuration field ${named(key, field)} is not one of the allowed values: ${options.map((option) => JSON.stringify(option)).join(", ")}`,
    );
  }
  return value;
}

const EXPECTED = {
  string: "a text",
  number: "a number such as `12` or `0.5`",
  boolean: "`true` or `false`",
  json: "valid JSON",
  array: "a JSON array",
  object: "a JSON object",
};

const TRUE = new Set(["true", "1", "yes", "on"]);
const FALSE = new Set(["false", "0", "no", "off"]);

/** The value that the text stands for, or `undefined` if it stands for none. */
function converted(field: ConfigFieldDescriptor, text: string): unknown {
  const trimmed = text.trim();
  switch (field.type) {
    case "string":
      return text;
    case "number": {
      // `Number` alone would take an empty text, `0x1f` and `Infinity`.
      const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : NaN;
      return Number.isFinite(number) ? number : undefined;
    }
    case "boolean": {
      const word = trimmed.toLowerCase();
      return TRUE.has(word) ? true : FALSE.has(word) ? false : undefined;
    }
    case "json":
    case "array":
    case "object":
      try {
        const value = JSON.parse(trimmed) as unknown;
        const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
        const fits = { json: true, array: Array.isArray(value), object: isObject };
        return fits[field.type] ? value : undefined;
      } catch {
        return undefined;
      }
  }
}

function missing(key: string, field: ConfigFieldDescriptor, allowed: ReadonlySet<string>): string {
  const message = `the required configuration field ${named(key, field)} has no value`;
  if (field.env === undefined) return message;
  return allowed.has(field.env)
    ? `${message}, and the environment variable \`${field.env}\` is not set`
    : `${message}, and the environment variable \`${field.env}\` is not listed under \`hay-plugin.env\` in \`package.json\``;
}

function unknownField(key: string, schema: ConfigSchema): string {
  const names = Object.keys(schema).map((name) => `\`${name}\``);
  const known =
    names.length === 0 ? "no field is registered" : `the fields are ${names.join(", ")}`;
  return `the configuration has no field \`${key}\`: ${known}`;
}

function named(key: string, field: ConfigFieldDescriptor): string {
  return field.label === undefined ? `\`${key}\`` : `\`${key}\` ("${field.label}")`;
}
