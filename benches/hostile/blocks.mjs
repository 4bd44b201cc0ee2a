// A plugin whose event loop stands still for a second in every hook and in every call.
import { defineHayPlugin } from "@hay/plugin-sdk";

const block = () => {
  const until = Date.now() + 1000;
  while (Date.now() < until);
};

export default defineHayPlugin(({ register }) => ({
  name: "Blocks",
  onInitialize() {
    register.config({ greeting: { type: "string", default: "" } });
    block();
  },
  onEnable: block,
  onConfigUpdate: block,
  onValidateAuth: () => {
    block();
    return true;
  },
  onStart: async ({ mcp }) => {
    block();
    await mcp.startLocal("blocks", () => ({
      listTools: () => [{ name: "wait", description: "Blocks.", inputSchema: { type: "object" } }],
      callTool: () => {
        block();
        return "unblocked";
      },
    }));
  },
  onDisable: block,
}));
