import { defineHayPlugin } from "@hay/plugin-sdk";

export default defineHayPlugin(({ register, config }) => ({
  name: "Stripe",

  onInitialize() {
    register.config({
      apiKey: {
        type: "string",
        label: "API Key",
        description: "Your API key for authentication",
        placeholder: "sk_live_...",
        regex: "^sk_(test|live)_.*",
        required: true,
        sensitive: true,
      },
      oauthClientId: { type: "string", label: "OAuth client id", env: "PLUGIN_CLIENT_ID" },
      oauthClientSecret: {
        type: "string",
        label: "OAuth client secret",
        env: "PLUGIN_CLIENT_SECRET",
        sensitive: true,
      },
    });
    register.auth.oauth2({
      id: "oauth2",
      label: "OAuth",
      authorizationUrl: "https://provider.com/oauth/authorize",
      tokenUrl: "https://provider.com/oauth/token",
      scopes: ["read", "write"],
      optionalScopes: ["admin"],
      pkce: true,
      clientId: config.field("oauthClientId"),
      clientSecret: config.field("oauthClientSecret"),
    });
    register.auth.apiKey({ id: "apiKey", label: "API key", configField: "apiKey" });
    register.mcp?.external({ id: "main" });
  },

  async onStart({ config, mcp }) {
    const key: unknown = config.getOptional("apiKey");
    await mcp.startExternal({
      id: "main",
      url: "https://mcp.stripe.com",
      authHeaders: typeof key === "string" ? { Authorization: `Bearer ${key}` } : {},
    });
  },
}));
