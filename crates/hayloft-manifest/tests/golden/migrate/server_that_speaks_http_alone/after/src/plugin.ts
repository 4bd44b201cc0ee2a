import { defineHayPlugin } from "@hay/plugin-sdk";

declare const process: { env: Record<string, string | undefined> };

/** Hands a server that listens on a port to the host, which starts it and keeps it up. */
async function registerServer(server: object): Promise<void> {
  const { HAY_API_URL: url = "http://hayloft.internal", HAY_API_TOKEN: token = "" } = process.env;
  const answer = await fetch(`${url}/v1/plugin-api/mcp/register-local`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(server),
  });
  if (!answer.ok) throw new Error(`the host did not take the MCP server: ${await answer.text()}`);
}

export default defineHayPlugin(({ register }) => ({
  name: "Orders",

  onInitialize() {
    register.mcp?.local({ id: "main" });
  },

  async onStart() {
    await registerServer({
      id: "main",
      startCommand: "node dist/index.js",
      transport: "http",
    });
  },
}));
