import { fileURLToPath } from "node:url";

import { defineHayPlugin } from "@hay/plugin-sdk";

const program = import.meta.resolve("@modelcontextprotocol/server-everything/dist/index.js");

export default defineHayPlugin(() => ({
  name: "Everything",
  onStart: ({ mcp }) =>
    mcp.startLocalStdio({
      id: "everything",
      command: "node",
      args: [fileURLToPath(program), "stdio"],
      cwd: ".",
    }),
}));
