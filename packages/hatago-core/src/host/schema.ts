/**
 * Schemas as plugins write them: JSON Schema, a Standard Schema such as Zod's, or an object of Standard Schemas by name.
 * Gives the JSON Schema to list, and a check.
 */

import { Validator } from "@cfworker/json-schema";

/** The outcome of a check: the value, as the schema made it, or what is wrong. */
export type Checked = { value: unknown } | { problems: string[] };

export interface ReadSchema {
  readonly jsonSchema: Record<string, unknown>;
  check(value: unknown): Checked | Promise<Checked>;
}

interface StandardSchema {
  "~standard": {
    validate(value: unknown): StandardResult | Promise<StandardResult>;
    jsonSchema?: { input(options: { target: string }): Record<string, unknown> };
  };
}

interface StandardResult {
  value?: unknown;
  issues?: readonly { message: string; path?: readonly unknown[] }[];
}

/** The inside of a schema of Zod 3, which has no JSON Schema of its own. */
interface ZodDefinition {
  typeName?: string;
  [field: string]: unknown;
}

/** Reads a schema; throws a `TypeError` that completes "the input schema …". */
export function readSchema(schema: unknown): ReadSchema {
  if (schema === undefined) return fromJsonSchema({ type: "object" });
  if (isStandard(schema)) return fromStandard(schema);
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) {
    throw new TypeError("is not an object");
  }
  const fields = Object.entries(schema);
  if (fields.length > 0 && fields.every(([, field]) => isStandard(field))) {
    return fromShape(fields as [string, StandardSchema][]);
  }
  return fromJsonSchema(schema as Record<string, unknown>);
}

function fromJsonSchema(schema: Record<string, unknown>): ReadSchema {
  const whole = schema.type === undefined ? { type: "object", ...schema } : schema;
  const remote = remoteReference(whole);
  if (remote !== undefined) throw new TypeError(`refers to another document: \`${remote}\``);
  // Read lazily: most plugins register more tools than are ever called.
  let validator: Validator | undefined;
  return {
    jsonSchema: whole,
    check(value) {
      validator ??= new Validator(whole, "2020-12", false);
      const { valid, errors } = validator.validate(value);
      if (valid) return { value };
      // The innermost errors say what is wrong, the outer ones only that something is.
      const inner = errors.filter(
        ({ keyword }) => !["properties", "items", "allOf", "$ref"].includes(keyword),
      );
      return {
        problems: (inner.length > 0 ? inner : errors).map(
          ({ instanceLocation, error }) =>
            `${instanceLocation.replace(/^#\/?/, "") || "it"}: ${error}`,
        ),
      };
    },
  };
}

function fromStandard(schema: StandardSchema): ReadSchema {
  return { jsonSchema: jsonSchemaOf(schema), check: (value) => validate(schema, value, []) };
}

/** Each field by itself, as `z.object` of the same fields would. */
function fromShape(fields: readonly (readonly [string, StandardSchema])[]): ReadSchema {
  const properties = Object.fromEntries(
    fields.map(([name, schema]) => [name, jsonSchemaOf(schema)]),
  );
  const required = fields.filter(([, schema]) => !takesNothing(schema)).map(([name]) => name);
  return {
    jsonSchema: { type: "object", properties, ...(required.length > 0 ? { required } : {}) },
    async check(value) {
      if (typeof value !== "object" || value === null)
        return { problems: ["it: is not an object"] };
      const made: Record<string, unknown> = {};
      const problems: string[] = [];
      for (const [name, schema] of fields) {
        const checked = await validate(schema, (value as Record<string, unknown>)[name], [name]);
        if ("problems" in checked) problems.push(...checked.problems);
        else if (checked.value !== undefined) made[name] = checked.value;
      }
      return problems.length > 0 ? { problems } : { value: made };
    },
  };
}

async function validate(
  schema: StandardSchema,
  value: unknown,
  at: readonly string[],
): Promise<Checked> {
  const result = await schema["~standard"].validate(value);
  if (result.issues === undefined) return { value: result.value };
  return {
    problems: result.issues.map(({ message, path = [] }) => {
      const keys = path.map((part) =>
        String(typeof part === "object" && part !== null && "key" in part ? part.key : part),
      );
      return `${[...at, ...keys].join("/") || "it"}: ${message}`;
    }),
  };
}

function takesNothing(schema: StandardSchema): boolean {
  const result = schema["~standard"].validate(undefined);
  return !(result instanceof Promise) && result.issues === undefined;
}

function jsonSchemaOf(schema: StandardSchema): Record<string, unknown> {
  const { jsonSchema } = schema["~standard"];
  const { toJSONSchema, _def } = schema as { toJSONSchema?: unknown; _def?: ZodDefinition };
  if (typeof jsonSchema?.input === "function") {
    return withoutDialect(jsonSchema.input({ target: "draft-2020-12" }));
  }
  if (typeof toJSONSchema === "function") {
    const made = Reflect.apply(toJSONSchema, schema, [{ io: "input" }]) as Record<string, unknown>;
    return withoutDialect(made);
  }
  if (_def?.typeName !== undefined) return fromZod3(_def);
  // The library cannot say; its own check still holds.
  return {};
}

function withoutDialect({ $schema: _dialect, ...schema }: Record<string, unknown>) {
  return schema;
}

/** The common schemas of Zod 3; what is not known takes anything here, and is checked by Zod itself. */
function fromZod3(definition: ZodDefinition): Record<string, unknown> {
  const inner = (key: string) => fromZod3((definition[key] as { _def: ZodDefinition })._def);
  const { description } = definition;
  const described = typeof description === "string" ? { description } : {};
  switch (definition.typeName ?? "") {
    case "ZodString":
      return { type: "string", ...described };
    case "ZodNumber": {
      const checks = (definition.checks ?? []) as { kind: string }[];
      return {
        type: checks.some(({ kind }) => kind === "int") ? "integer" : "number",
        ...described,
      };
    }
    case "ZodBoolean":
      return { type: "boolean", ...described };
    case "ZodNull":
      return { type: "null", ...described };
    case "ZodLiteral":
      return { const: definition.value, ...described };
    case "ZodEnum":
      return { enum: definition.values, ...described };
    case "ZodNativeEnum":
      return { enum: Object.values(definition.values as object), ...described };
    case "ZodArray":
      return { type: "array", items: inner("type"), ...described };
    case "ZodRecord":
      return { type: "object", additionalProperties: inner("valueType"), ...described };
    case "ZodUnion":
    case "ZodDiscriminatedUnion": {
      const options = definition.options as { _def: ZodDefinition }[];
      return { anyOf: [...options].map(({ _def }) => fromZod3(_def)), ...described };
    }
    case "ZodOptional":
    case "ZodDefault":
    case "ZodCatch":
    case "ZodBranded":
    case "ZodReadonly":
      return { ...inner(definition.innerType === undefined ? "type" : "innerType"), ...described };
    case "ZodNullable":
      return { anyOf: [inner("innerType"), { type: "null" }], ...described };
    case "ZodEffects":
      return { ...inner("schema"), ...described };
    case "ZodObject": {
      const shape = (definition.shape as () => Record<string, StandardSchema>)();
      const { jsonSchema } = fromShape(Object.entries(shape));
      return { ...jsonSchema, ...described };
    }
    default:
      return described;
  }
}

function isStandard(value: unknown): value is StandardSchema {
  return (
    ((typeof value === "object" && value !== null) || typeof value === "function") &&
    typeof (value as Partial<StandardSchema>)["~standard"]?.validate === "function"
  );
}

/** A reference that leaves the schema, which nobody would fetch. */
function remoteReference(schema: unknown, depth = 0): string | undefined {
  if (typeof schema !== "object" || schema === null || depth > 64) return undefined;
  for (const [key, value] of Object.entries(schema)) {
    if (key === "$ref" && typeof value === "string" && !value.startsWith("#")) return value;
    const found = remoteReference(value, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}
