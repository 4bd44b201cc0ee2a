// Starts a child that is as hostile as it is.
import { defineHayPlugin } from "@hay/plugin-sdk";

export default defineHayPlugin(({ register }) => ({
  name: "Parent",
  onInitialize() {
    register.config({ secret: { type: "string", sensitive: true, default: "" } });
  },
  async onStart({ mcp }) {
    await mcp.startLocalStdio({
      id: "child",
      command: "node",
      args: ["child.cjs"],
      cwd: ".",
      env: { GIVEN: "yes", HOME: "/root", PATH: "/evil" },
    });
  },
}));
