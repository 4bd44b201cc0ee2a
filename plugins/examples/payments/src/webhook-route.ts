import type { HayLogger, HayRequest, HayResponse } from "@hay/plugin-sdk";

import { checkSignature, TOLERANCE_SECONDS } from "./signature.js";

interface PaymentEvent {
  id: string;
  type: string;
  payment: { id: string };
}

/** Receives the service's events. Each is handled once, however often it arrives. */
export function webhookRoute(logger: HayLogger) {
  const handled = new SeenEvents(2 * TOLERANCE_SECONDS);
  let secret: string | undefined;

  return {
    /** Tells which secret events are signed with, once the organization is known. */
    configure(webhookSecret: string | undefined): void {
      secret = webhookSecret;
    },

    handle(req: HayRequest, res: HayResponse): void {
      if (secret === undefined) {
        res.status(503).json({ error: "no webhook secret is configured" });
        return;
      }
      const body = req.rawBody ?? new Uint8Array();
      const now = Date.now() / 1000;
      const verdict = checkSignature(req.get("payments-signature"), body, secret, now);
      if (verdict !== "valid") {
        logger.warn("refused a webhook", { signature: verdict });
        res.status(400).json({ error: `the signature is ${verdict}` });
        return;
      }
      const event = parseEvent(body);
      if (event === undefined) {
        res.status(400).json({ error: "the body is no payment event" });
        return;
      }
      const duplicate = !handled.add(event.id, now);
      if (!duplicate) {
        logger.info("received a payment event", {
          event: event.id,
          type: event.type,
          payment: event.payment.id,
        });
      }
      // A repeated event is acknowledged as well: the sender only wants to know that it arrived.
      res.status(200).json({ received: true, event: event.id, duplicate });
    },
  };
}

/** Event ids for as long as their signatures could be valid, which is up to twice the tolerance. */
class SeenEvents {
  readonly #lifetimeSeconds: number;
  readonly #seen = new Map<string, number>();

  constructor(lifetimeSeconds: number) {
    this.#lifetimeSeconds = lifetimeSeconds;
  }

  /** Whether the event is new. */
  add(id: string, nowSeconds: number): boolean {
    for (const [old, at] of this.#seen) {
      // The map keeps the order of arrival.
      if (nowSeconds - at <= this.#lifetimeSeconds) break;
      this.#seen.delete(old);
    }
    if (this.#seen.has(id)) return false;
    this.#seen.set(id, nowSeconds);
    return true;
  }
}

function parseEvent(body: Uint8Array): PaymentEvent | undefined {
  let event: unknown;
  try {
    event = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
  const { id, type, payment } = (event ?? {}) as Partial<PaymentEvent>;
  const whole =
    typeof id === "string" && typeof type === "string" && typeof payment?.id === "string";
  return whole ? { id, type, payment: { id: payment.id } } : undefined;
}
