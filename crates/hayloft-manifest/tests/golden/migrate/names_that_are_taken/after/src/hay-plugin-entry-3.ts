import { defineHayPlugin } from "@hay/plugin-sdk";

export default defineHayPlugin(({ register }) => ({
  name: "Full",

  onInitialize() {
    register.mcp?.local({ id: "main" });
  },

  async onStart({ mcp }) {
    await mcp.startLocalStdio({
      id: "main",
      command: "node",
      args: ["mcp/index.js"],
    });
  },
}));
