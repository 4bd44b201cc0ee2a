/**
 * Whatever a tool returned, as an MCP tool result.
 *
 * A result in MCP's own shape passes as it is, unknown fields included.
 */
import { MAX_PAYLOAD } from "../frame.js";
import { messageOf } from "../wire-error.js";

export interface ToolResult {
  content: unknown[];
  structuredContent?: unknown;
  isError?: boolean;
}

/** The result for any value that a tool gave. */
export function toToolResult(value: unknown): object {
  if (typeof value === "string") return text(value);
  if (value === undefined || value === null) return { content: [] };
  if (typeof value !== "object") {
    const scalar = value as number | bigint | boolean;
    return text(String(scalar));
  }
  if (Array.isArray(value)) {
    if (value.length > 0 && value.every(isContent)) return { content: value };
    return text(JSON.stringify(value));
  }
  const { content, structuredContent } = value as Record<string, unknown>;
  if (Array.isArray(content) && content.every(isContent)) return value;
  if (content === undefined && isPlainObject(structuredContent)) {
    // MCP wants the data as text too, for clients that know no structured content.
    return { ...value, content: [{ type: "text", text: JSON.stringify(structuredContent) }] };
  }
  return { ...text(JSON.stringify(value)), structuredContent: value };
}

/** The result for a tool that failed: the plugin said no, and the model may read why. */
export function toErrorResult(thrown: unknown): ToolResult {
  return failure(messageOf(thrown));
}

/** The result for an answer that no frame can carry. */
export function tooLargeResult(tool: string, size: number): ToolResult {
  return failure(
    `the result of the tool \`${tool}\` has ${size} bytes; at most ${MAX_PAYLOAD} can be passed on`,
  );
}

export function failure(message: string): ToolResult {
  return { ...text(message), isError: true };
}

function text(value: string): ToolResult {
  return { content: [{ type: "text", text: value }] };
}

function isContent(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as { type?: unknown }).type === "string"
  );
}

function isPlainObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
