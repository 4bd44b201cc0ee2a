import type { ConfigSchema } from "@hay/plugin-sdk";

/** The settings of an organization. */
export const configSchema = {
  apiUrl: {
    type: "string",
    required: true,
    env: "PAYMENTS_API_URL",
    label: "Service address",
    description: "Base address of the payment service.",
    placeholder: "https://api.payments.example",
    regex: "^https?://",
  },
  apiKey: {
    type: "string",
    env: "PAYMENTS_API_KEY",
    sensitive: true,
    label: "API key",
    description: "Secret key of the merchant's account.",
  },
  webhookSecret: {
    type: "string",
    sensitive: true,
    label: "Webhook secret",
    description: "Signs the events that the service sends to this plugin's /webhook.",
  },
  webhookUrl: {
    type: "string",
    label: "Webhook address",
    description:
      "Public address of this plugin's /webhook. When set, the plugin subscribes to events itself.",
    regex: "^https?://",
  },
} as const satisfies ConfigSchema;
