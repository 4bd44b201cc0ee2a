import { defineHayPlugin } from "@hay/plugin-sdk";
import { measure } from "./measure.mjs";

export default defineHayPlugin(() => ({
  name: "network",
  async onStart({ mcp }) {
    await mcp.startLocal("main", () => ({
      listTools: () => [{ name: "measure", inputSchema: { type: "object" } }],
      callTool: async (_name, { connections }) => JSON.stringify(await measure("echo.bench.test", 7000, connections)),
    }));
  },
}));
