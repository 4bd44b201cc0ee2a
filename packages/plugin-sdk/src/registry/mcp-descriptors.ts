/** Checks `register.mcp`. */

import type { McpServerDescriptor } from "../types/mcp.js";
import { isServerId } from "./names.js";
import type { Problems } from "./problems.js";
import { compact, Reader } from "./reader.js";

/** The MCP servers that a plugin announced so far. */
export class McpDescriptors {
  readonly local: McpServerDescriptor[] = [];
  readonly external: McpServerDescriptor[] = [];
  readonly #ids = new Set<string>();

  constructor(private readonly problems: Problems) {}

  /** Takes one call of `register.mcp.local` or `register.mcp.external`. */
  add(kind: "local" | "external", server: unknown): void {
    const reader = Reader.of(server, `register.mcp.${kind}`, this.problems);
    if (reader === undefined) return;
    const before = this.problems.count;
    const id = reader.text("id");
    const [name, description] = [reader.optionalText("name"), reader.optionalText("description")];
    if (id === undefined) return;
    if (!isServerId(id)) {
      this.problems.add(
        reader.place("id"),
        `\`${id}\` is not an id of a server`,
        "use 1 to 128 printable ASCII characters without spaces or `/`",
      );
    } else if (this.#ids.has(id)) {
      this.problems.add(reader.place("id"), `the server \`${id}\` is announced twice`);
    }
    this.#ids.add(id);
    if (this.problems.count === before) this[kind].push(compact({ id, name, description }));
  }
}
