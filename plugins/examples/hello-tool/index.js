import { defineHayPlugin } from "@hay/plugin-sdk";

const input = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };

export default defineHayPlugin(() => ({
  name: "Hello",
  onStart: ({ mcp }) =>
    mcp.startLocal("hello", () => ({
      listTools: () => [{ name: "hello", description: "Greets somebody.", inputSchema: input }],
      callTool: (_tool, { name }) => `Hello, ${name}!`,
    })),
}));
