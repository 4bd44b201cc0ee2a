import type { JsonValue } from "./json.js";

/** The kinds of values that a configuration field can hold. */
export type ConfigFieldType = "string" | "number" | "boolean" | "json" | "array" | "object";

/** What a value within an array or an object looks like. */
export interface ConfigValueShape {
  /** What kind of value it is. */
  readonly type: ConfigFieldType;
  /** What a person reads beside it. */
  readonly label?: string;
  /** A sentence about it. */
  readonly description?: string;
  /** Whether an object must have it. */
  readonly required?: boolean;
  /** What each item of an array looks like. */
  readonly items?: ConfigValueShape;
  /** What properties of an object look like; others are allowed. */
  readonly properties?: Readonly<Record<string, ConfigValueShape>>;
}

/** One of the values that a field allows: the value alone, or with the label that people read. */
export type ConfigFieldOption = JsonValue | { readonly value: JsonValue; readonly label?: string };

/** One setting that an organization can make. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- so that a default of any type fits a field without one
export interface ConfigFieldDescriptor<T = any> {
  /** What kind of value it holds. */
  readonly type: ConfigFieldType;
  /** What a person reads beside it. */
  readonly label?: string;
  /** A sentence about it. */
  readonly description?: string;
  /** Whether the plugin cannot start without it. */
  readonly required?: boolean;
  /**
   * An environment variable of the host that stands in while the organization gave no value. It must be listed under
   * `hay-plugin.env` in the plugin's `package.json`.
   */
  readonly env?: string;
  /** Whether the value is a secret: it is encrypted at rest and never shown again. */
  readonly sensitive?: boolean;
  /** The same as `sensitive`. */
  readonly encrypted?: boolean;
  /** What holds when neither the organization nor the environment gives a value. */
  readonly default?: T;
  /** An example shown while the field is empty. */
  readonly placeholder?: string;
  /** The only values allowed. */
  readonly options?: readonly ConfigFieldOption[];
  /** A regular expression that a text must match somewhere; anchor it with `^` and `$` to match the whole text. */
  readonly regex?: string;
  /** What each item of an `array` looks like. */
  readonly items?: ConfigValueShape;
  /** What properties of an `object` look like; others are allowed. */
  readonly properties?: Readonly<Record<string, ConfigValueShape>>;
}

/** The settings of a plugin by field name. */
export type ConfigSchema = Readonly<Record<string, ConfigFieldDescriptor>>;

/** A configuration field named in a declaration. It holds no value. */
export interface ConfigFieldReference {
  /** The field's name. */
  name: string;
}

/** Names configuration fields where something else is declared, such as an OAuth client. */
export interface HayConfigDescriptorAPI<Schema extends ConfigSchema = ConfigSchema> {
  /** A reference to a field. This does not resolve the value. */
  field(name: keyof Schema & string): ConfigFieldReference;
}

type OptionValue<Option> = Option extends { readonly value: infer Value } ? Value : Option;

type ValueOfType<Type> = Type extends "string"
  ? string
  : Type extends "number"
    ? number
    : Type extends "boolean"
      ? boolean
      : Type extends "array"
        ? readonly JsonValue[]
        : Type extends "object"
          ? Readonly<Record<string, JsonValue>>
          : JsonValue;

/** The type of the values that a field holds, without regard to whether it has one. */
export type ConfigFieldValue<Field extends ConfigFieldDescriptor> = Field extends {
  readonly options: readonly (infer Option)[];
}
  ? OptionValue<Option> & ValueOfType<Field["type"]>
  : ValueOfType<Field["type"]>;

/** What `config.get` gives for a field: `undefined` only where the field is neither required nor has a default. */
export type ConfigValue<Field extends ConfigFieldDescriptor> = Field extends
  { readonly required: true } | { readonly default: JsonValue }
  ? ConfigFieldValue<Field>
  : ConfigFieldValue<Field> | undefined;

/** The configuration of one organization, for a plugin that gave no schema to `defineHayPlugin`. */
export interface UntypedConfigRuntimeAPI {
  /**
   * The value of a field: the organization's own, else the allowed environment variable's, else the default.
   *
   * @throws ConfigMissingError if a required field has none of the three, or no such field was registered.
   * @throws ConfigValueError if the environment variable's text does not fit the field's type.
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any, @typescript-eslint/no-unnecessary-type-parameters -- the caller says what it expects
  get<T = any>(key: string): T;
  /** As `get`, but `undefined` where there is no value or no such field. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any, @typescript-eslint/no-unnecessary-type-parameters -- the caller says what it expects
  getOptional<T = any>(key: string): T | undefined;
  /** The names of all registered fields. */
  keys(): string[];
}

/** The configuration of one organization, for a plugin that gave its schema to `defineHayPlugin`. */
export interface TypedConfigRuntimeAPI<Schema extends ConfigSchema> {
  /**
   * The value of a field: the organization's own, else the allowed environment variable's, else the default.
   *
   * @throws ConfigMissingError if a required field has none of the three.
   * @throws ConfigValueError if the environment variable's text does not fit the field's type.
   */
  get<Key extends keyof Schema & string>(key: Key): ConfigValue<Schema[Key]>;
  /** As `get`, but `undefined` where there is no value. */
  getOptional<Key extends keyof Schema & string>(
    key: Key,
  ): ConfigFieldValue<Schema[Key]> | undefined;
  /** The names of all registered fields. */
  keys(): (keyof Schema & string)[];
}

/** The configuration of one organization. With a schema type, unknown keys do not compile and values are typed. */
export type HayConfigRuntimeAPI<Schema extends ConfigSchema = ConfigSchema> =
  string extends keyof Schema ? UntypedConfigRuntimeAPI : TypedConfigRuntimeAPI<Schema>;
