import { type AuthState, defineHayPlugin } from "@hay/plugin-sdk";

import { configSchema } from "./config.js";
import { PaymentClient, Unreachable } from "./payment-client.js";
import { PaymentTools } from "./payment-tools.js";
import { webhookRoute } from "./webhook-route.js";

export default defineHayPlugin<typeof configSchema>(({ register, logger }) => {
  // A worker serves one organization, so what belongs to that organization may live here once `onStart` knows it.
  const webhook = webhookRoute(logger);
  let removeWebhook: (() => Promise<void>) | undefined;

  return {
    name: "Payments",

    onInitialize() {
      register.config(configSchema);
      register.auth.apiKey({ id: "apiKey", label: "API key", configField: "apiKey" });
      register.ui({ slot: "after-settings", component: "components/PaymentsSettings.vue" });
      register.route("POST", "/webhook", webhook.handle);
    },

    async onStart({ config, auth, mcp, logger }) {
      webhook.configure(config.get("webhookSecret"));

      const apiKey = keyOf(auth.get());
      if (apiKey === undefined) {
        logger.warn("no API key is configured: the payment tools stay off");
        return;
      }
      const client = new PaymentClient(config.get("apiUrl"), apiKey);
      await mcp.startLocal("payments", () => new PaymentTools(client, logger));

      const webhookUrl = config.get("webhookUrl");
      const webhookSecret = config.get("webhookSecret");
      if (webhookUrl === undefined || webhookSecret === undefined) return;
      const endpoint = await client.subscribe(webhookUrl, webhookSecret);
      removeWebhook = () => client.unsubscribe(endpoint.id);
      logger.info("subscribed to payment events", { endpoint: endpoint.id });
    },

    async onValidateAuth({ config, auth, logger }) {
      const apiKey = keyOf(auth.get());
      if (apiKey === undefined) return false;
      const url = config.get("apiUrl");
      try {
        return await new PaymentClient(url, apiKey).verify();
      } catch (error) {
        logger.error("failed to check the API key", error);
        if (error instanceof Unreachable) {
          // The message is shown to the person who saved the settings.
          throw new Error(
            `The payment service at ${url} cannot be reached. Check its address, or try again later.`,
          );
        }
        throw error;
      }
    },

    onConfigUpdate({ config, logger }) {
      logger.info("settings changed", { apiUrl: config.get("apiUrl") });
    },

    async onDisable({ org, logger }) {
      await removeWebhook?.();
      removeWebhook = undefined;
      logger.info("switched off", { organization: org.id });
    },
  };
});

/** The API key, be it the organization's own or the one of the host's environment. */
function keyOf(state: AuthState | null): string | undefined {
  const key = state?.methodId === "apiKey" ? state.credentials["apiKey"] : undefined;
  return typeof key === "string" && key !== "" ? key : undefined;
}
