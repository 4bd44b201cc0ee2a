import { defineHayPlugin } from "@hay/plugin-sdk";

export default defineHayPlugin(({ register }) => ({
  name: "Orders",

  onInitialize() {
    register.config({ jwt: { type: "string", label: "Token", sensitive: true } });
    register.auth.apiKey({ id: "jwt", label: "Token", configField: "jwt" });
    register.mcp?.external({ id: "main" });
  },

  async onStart({ config, mcp }) {
    const key: unknown = config.getOptional("jwt");
    await mcp.startExternal({
      id: "main",
      url: "https://mcp.example.com",
      authHeaders: typeof key === "string" ? { Authorization: `Bearer ${key}` } : {},
    });
  },
}));
