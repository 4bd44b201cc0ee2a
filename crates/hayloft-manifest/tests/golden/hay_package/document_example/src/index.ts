// plugins/stripe/src/index.ts
import { defineHayPlugin } from "@hay/plugin-sdk";
import type { HayLogger, McpServerInstance } from "@hay/plugin-sdk/types";

export default defineHayPlugin((globalCtx) => ({
  name: "Stripe",

  //
  // 1) Global initialization: schema, auth, UI, routes
  //
  onInitialize() {
    const { register, config, logger } = globalCtx;

    // Config schema (org-level)
    register.config({
      apiKey: {
        type: "string",
        required: false,
        env: "STRIPE_API_KEY",
        sensitive: true,
        label: "Stripe API key",
        description: "Secret key for Stripe API.",
      },
    });

    // Auth method: API key
    register.auth.apiKey({
      id: "apiKey",
      label: "API key",
      configField: "apiKey",
    });

    // UI extension
    register.ui({
      slot: "after-settings",
      component: "components/StripeSettings.vue",
    });

    // HTTP route for Stripe webhooks
    register.route("POST", "/webhook", async (req, res) => {
      logger.info("Received Stripe webhook");
      // handle webhook payload...
      res.status(200).json({ ok: true });
    });
  },

  //
  // 2) Runtime: start for this org
  //
  async onStart(ctx) {
    const { config, auth, mcp, logger } = ctx;

    const authState = auth.get();

    if (!authState) {
      logger.warn("Stripe plugin started without auth state");
      return;
    }

    const { methodId, credentials } = authState;

    if (methodId !== "apiKey") {
      logger.warn(`Unsupported auth method: ${methodId}`);
      return;
    }

    const apiKey = String(credentials.apiKey || config.get("apiKey"));

    if (!apiKey) {
      logger.warn("No Stripe API key configured; MCP will not start.");
      return;
    }

    // Start local MCP server bound to this org’s Stripe account
    await mcp.startLocal("stripe-mcp", () => {
      return new StripeMcpServer({ apiKey, logger });
    });

    logger.info("Stripe MCP started");
  },

  //
  // 3) Auth validation
  //
  async onValidateAuth(ctx) {
    const { logger } = ctx;
    const authState = ctx.auth.get();

    if (!authState) return false;

    const { methodId, credentials } = authState;

    try {
      if (methodId === "apiKey") {
        const apiKey = String(credentials.apiKey || "");
        const client = new StripeClient(apiKey);
        const ok = await client.verify();
        if (!ok) logger.warn("Stripe API key validation failed");
        return ok;
      }

      logger.warn(`Unknown auth method for validation: ${methodId}`);
      return false;
    } catch (err) {
      logger.error("Error validating Stripe auth", err);
      return false;
    }
  },

  //
  // 4) Optional config update
  //
  onConfigUpdate(ctx) {
    ctx.logger.info("Stripe config updated; platform will restart plugin as needed.");
  },

  //
  // 5) Disable / uninstall
  //
  onDisable(ctx) {
    ctx.logger.info(`Stripe plugin disabled for org ${ctx.org.id}`);
    // Any extra cleanup if needed; MCP is stopped by platform.
  },
}));

// Example MCP server
class StripeMcpServer implements McpServerInstance {
  private client: StripeClient;
  private logger: HayLogger;

  constructor(opts: { apiKey: string; logger: HayLogger }) {
    this.client = new StripeClient(opts.apiKey);
    this.logger = opts.logger;
  }

  stop() {
    this.logger.info("Stripe MCP server stopped");
  }
}

// Stub client
class StripeClient {
  constructor(private apiKey: string) {}

  async verify(): Promise<boolean> {
    // Minimal ping to Stripe using this.apiKey
    return true;
  }
}
