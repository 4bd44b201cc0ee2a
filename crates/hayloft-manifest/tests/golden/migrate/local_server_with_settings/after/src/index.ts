import { defineHayPlugin, type HayConfigRuntimeAPI } from "@hay/plugin-sdk";

declare const process: { env: Record<string, string | undefined> };

/** The host's variables that the plugin's code expects. */
const HOST_VARIABLES = ["SHOPIFY_PROXY"];

/** The variables that the plugin's code expects, by the settings that hold their values. */
const VARIABLES = { shopifyAccessToken: "SHOPIFY_ACCESS_TOKEN", domain: "MYSHOPIFY_DOMAIN" };

function environment(config: HayConfigRuntimeAPI): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of HOST_VARIABLES) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  for (const [field, name] of Object.entries(VARIABLES)) {
    const value: unknown = config.getOptional(field);
    if (value === undefined) continue;
    environment[name] = typeof value === "string" ? value : JSON.stringify(value);
  }
  return environment;
}

export default defineHayPlugin(({ register }) => ({
  name: "Shopify",

  onInitialize() {
    register.config({
      shopifyAccessToken: {
        type: "string",
        label: "Access \"token\"",
        env: "SHOPIFY_ACCESS_TOKEN",
        regex: "^shpat_",
        required: true,
        sensitive: true,
      },
      domain: {
        type: "string",
        description: "The shop's domain, as the address bar of the browser shows it",
        default: "my-store.myshopify.com",
      },
      tags: { type: "array", default: [] },
    });
    register.auth.apiKey({ id: "apiKey", label: "API key", configField: "shopifyAccessToken" });
    register.ui({
      slot: "after-settings",
      component: "components/settings/Instructions.vue",
    });
    register.ui({ slot: "tab", component: "components/settings/Advanced.vue" });
    register.mcp?.local({ id: "main" });
  },

  async onStart({ config, mcp }) {
    await mcp.startLocalStdio({
      id: "main",
      command: "node",
      args: ["dist/index.js"],
      cwd: "mcp",
      env: { ...environment(config), NODE_ENV: "production" },
    });
  },
}));
