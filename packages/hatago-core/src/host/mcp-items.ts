/** What plugins register in their MCP server, and how clients of the protocol see it. Knows nothing of messages. */

import type {
  PromptConfig,
  PromptHandler,
  ResourceConfig,
  ResourceReader,
  ToolConfig,
  ToolHandler,
} from "../types.js";
import { type ReadSchema, readSchema } from "./schema.js";

export interface Tool {
  config: ToolConfig;
  input: ReadSchema;
  output: ReadSchema | null;
  handler: ToolHandler;
}

export interface Resource {
  name: string;
  config: ResourceConfig;
  read: ResourceReader;
  list?: (() => unknown) | undefined;
}

export interface Prompt {
  config: PromptConfig;
  args: ReadSchema | null;
  handler: PromptHandler;
}

export function describeTool(name: string, { config, input, output }: Tool): object {
  const { inputSchema: _input, outputSchema: _output, ...more } = config;
  return {
    ...more,
    name,
    inputSchema: input.jsonSchema,
    ...(output === null ? {} : { outputSchema: output.jsonSchema }),
  };
}

export function describePrompt(name: string, { config, args }: Prompt): object {
  const { argsSchema: _schema, ...more } = config;
  if (args === null) return { ...more, name };
  const { properties = {}, required = [] } = args.jsonSchema as {
    properties?: Record<string, { description?: string }>;
    required?: string[];
  };
  return {
    ...more,
    name,
    arguments: Object.entries(properties).map(([key, { description }]) => ({
      name: key,
      ...(description === undefined ? {} : { description }),
      required: required.includes(key),
    })),
  };
}

export function toResult(value: unknown): Record<string, unknown> {
  if (typeof value === "string") return { content: [{ type: "text", text: value }] };
  if (value === undefined || value === null) return { content: [] };
  if (typeof value === "object" && !Array.isArray(value)) {
    const result = value as Record<string, unknown>;
    if (Array.isArray(result.content)) return result;
    if (result.structuredContent !== undefined) {
      // MCP wants the data as text too, for clients that know no structured content.
      const text = JSON.stringify(result.structuredContent);
      return { ...result, content: [{ type: "text", text }] };
    }
  }
  return { content: [{ type: "text", text: JSON.stringify(value) }] };
}

export function failure(text: string): Record<string, unknown> {
  return { content: [{ type: "text", text }], isError: true };
}

/** The template of an address: a text, or an object that holds one, as the official SDK has it. */
export function readAddress(uri: unknown): {
  template: string;
  list?: (() => unknown) | undefined;
} {
  if (typeof uri === "string" && uri !== "") return { template: uri };
  if (typeof uri === "object" && uri !== null) {
    const { uriTemplate, listCallback } = uri as { uriTemplate?: unknown; listCallback?: unknown };
    const list = typeof listCallback === "function" ? (listCallback as () => unknown) : undefined;
    const template: unknown = uriTemplate ?? uri;
    if (typeof template === "string") return { template, list };
    const { template: text } = Object(template) as { template?: unknown };
    if (typeof text === "string") return { template: text, list };
  }
  throw new TypeError("the address of a resource must be a text or a template");
}

export function schemaOf(what: string, schema: unknown): ReadSchema {
  try {
    return readSchema(schema);
  } catch (error) {
    throw new TypeError(`${what} ${messageOf(error)}`, { cause: error });
  }
}

/** What was thrown, with the advice that it may carry. */
export function messageOf(thrown: unknown): string {
  if (typeof thrown !== "object" || thrown === null) return String(thrown);
  const { message, hint } = thrown as { message?: unknown; hint?: unknown };
  const text = typeof message === "string" ? message : "an error without a message was thrown";
  return typeof hint === "string" ? `${text} (${hint})` : text;
}
