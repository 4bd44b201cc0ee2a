/** Whatever a plugin lists as its tools, as MCP's `tools`. */

export interface ListedTool {
  name: string;
  [field: string]: unknown;
}

export interface ToolList {
  tools: ListedTool[];
  nextCursor?: string;
  /** What was left out or put right, for the log. */
  warnings: string[];
}

/** Reads an array of tools, or MCP's `{ tools, nextCursor? }`. */
export function readToolList(value: unknown): ToolList {
  const result = isObject(value) ? value : { tools: value };
  const list: ToolList = { tools: [], warnings: [] };
  if (typeof result.nextCursor === "string") list.nextCursor = result.nextCursor;
  if (!Array.isArray(result.tools)) {
    if (value !== undefined && value !== null) {
      list.warnings.push("`listTools` gave neither an array nor an object with `tools`");
    }
    return list;
  }
  const names = new Set<string>();
  for (const item of result.tools as unknown[]) {
    if (!isObject(item) || typeof item.name !== "string" || item.name === "") {
      list.warnings.push("a tool without a name was left out");
    } else if (names.has(item.name)) {
      list.warnings.push(`the tool \`${item.name}\` is listed twice; the first one counts`);
    } else {
      names.add(item.name);
      list.tools.push(readTool(item, item.name, list.warnings));
    }
  }
  return list;
}

function readTool(item: Record<string, unknown>, name: string, warnings: string[]): ListedTool {
  const { inputSchema, input_schema, outputSchema, output_schema, title, label, ...rest } = item;
  const tool: ListedTool = { ...rest, name, inputSchema: readSchema(inputSchema ?? input_schema) };
  if (tool.inputSchema === null) {
    warnings.push(`the input schema of the tool \`${name}\` is not an object; any object is taken`);
    tool.inputSchema = { type: "object" };
  }
  const output = outputSchema ?? output_schema;
  if (output !== undefined) tool.outputSchema = output;
  const shown = title ?? label;
  if (typeof shown === "string") tool.title = shown;
  return tool;
}

/** MCP demands an object schema that says so; a tool without arguments may leave it out. */
function readSchema(schema: unknown): object | null {
  if (schema === undefined) return { type: "object" };
  if (!isObject(schema)) return null;
  return schema.type === undefined ? { type: "object", ...schema } : schema;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
