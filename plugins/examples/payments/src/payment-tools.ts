import type { HayLogger, McpServerInstance, McpTool, McpToolResult } from "@hay/plugin-sdk";

import { type NewPayment, type PaymentClient, Refused, Unreachable } from "./payment-client.js";

const id = { type: "string", description: "The payment's id, such as `pay_1`.", minLength: 1 };
const amount = {
  type: "integer",
  description: "In the currency's smallest unit: 1250 is 12.50 EUR.",
  minimum: 1,
};

const tools: McpTool[] = [
  {
    name: "create_payment",
    title: "Create a payment",
    description: "Takes a payment.",
    inputSchema: {
      type: "object",
      properties: {
        amount,
        currency: {
          type: "string",
          description: "ISO 4217, such as `EUR`.",
          pattern: "^[A-Z]{3}$",
        },
        description: { type: "string", description: "What the payer reads.", maxLength: 200 },
        idempotencyKey: {
          type: "string",
          description: "Repeating a call with the same key never takes a second payment.",
          minLength: 1,
          maxLength: 100,
        },
      },
      required: ["amount", "currency"],
      additionalProperties: false,
    },
    annotations: { destructiveHint: false, openWorldHint: true },
  },
  {
    name: "get_payment",
    title: "Look up a payment",
    description: "Gives one payment with its present state.",
    inputSchema: {
      type: "object",
      properties: { id },
      required: ["id"],
      additionalProperties: false,
    },
    annotations: { readOnlyHint: true, openWorldHint: true },
  },
  {
    name: "list_payments",
    title: "List payments",
    description: "Gives payments, the newest first, page by page.",
    inputSchema: {
      type: "object",
      properties: {
        limit: {
          type: "integer",
          description: "How many at most; 20 if absent.",
          minimum: 1,
          maximum: 100,
        },
        after: { type: "string", description: "`next` of the page before." },
      },
      additionalProperties: false,
    },
    annotations: { readOnlyHint: true, openWorldHint: true },
  },
  {
    name: "refund_payment",
    title: "Refund a payment",
    description: "Gives a payment back, all of it or a part.",
    inputSchema: {
      type: "object",
      properties: { id, amount: { ...amount, description: "All that is left if absent." } },
      required: ["id"],
      additionalProperties: false,
    },
    annotations: { destructiveHint: true, openWorldHint: true },
  },
];

/** The MCP server of one merchant. The host has checked the arguments against the schemas above. */
export class PaymentTools implements McpServerInstance {
  readonly #client: PaymentClient;
  readonly #logger: HayLogger;

  constructor(client: PaymentClient, logger: HayLogger) {
    this.#client = client;
    this.#logger = logger;
  }

  listTools(): McpTool[] {
    return tools;
  }

  async callTool(name: string, args: Record<string, unknown>): Promise<McpToolResult> {
    try {
      const answer = await this.#call(name, args);
      return {
        content: [{ type: "text", text: JSON.stringify(answer) }],
        structuredContent: answer,
      };
    } catch (error) {
      // What the service says is for the model to read; anything else is a fault of this plugin.
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      this.#logger.warn(`${name} failed`, error);
      return { content: [{ type: "text", text: error.message }], isError: true };
    }
  }

  stop(): void {
    this.#logger.info("the payment tools stopped");
  }

  #call(name: string, args: Record<string, unknown>): Promise<object> {
    switch (name) {
      case "create_payment":
        return this.#client.create(args as unknown as NewPayment);
      case "get_payment":
        return this.#client.get(args["id"] as string);
      case "list_payments":
        return this.#client.list(
          args["limit"] as number | undefined,
          args["after"] as string | undefined,
        );
      case "refund_payment":
        return this.#client.refund(args["id"] as string, args["amount"] as number | undefined);
      default:
        throw new Error(`there is no tool \`${name}\``);
    }
  }
}
