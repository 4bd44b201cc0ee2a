/** A payment as the service tells it. Amounts are in the currency's smallest unit. */
export interface Payment {
  id: string;
  amount: number;
  currency: string;
  status: "succeeded" | "partially_refunded" | "refunded";
  refunded: number;
  description?: string;
  createdAt: string;
}

/** A page of payments, the newest first. */
export interface PaymentPage {
  payments: Payment[];
  /** Asks for the next page, if there is one. */
  next?: string;
}

/** What a new payment is for. */
export interface NewPayment {
  amount: number;
  currency: string;
  description?: string;
  /** The same key never makes a second payment. */
  idempotencyKey?: string;
}

/** The service answered, and the answer is no. */
export class Refused extends Error {
  override name = "Refused";

  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** The service did not answer. */
export class Unreachable extends Error {
  override name = "Unreachable";
}

const DEADLINE_MS = 10_000;

/** Speaks to the payment service for one merchant. */
export class PaymentClient {
  readonly #baseUrl: string;
  readonly #apiKey: string;

  constructor(baseUrl: string, apiKey: string) {
    this.#baseUrl = baseUrl.replace(/\/+$/, "");
    this.#apiKey = apiKey;
  }

  /** Whether the key is good. */
  async verify(): Promise<boolean> {
    try {
      await this.#send("GET", "/v1/account");
      return true;
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return false;
      throw error;
    }
  }

  create({ idempotencyKey, ...payment }: NewPayment): Promise<Payment> {
    const headers = idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey };
    return this.#send("POST", "/v1/payments", payment, headers);
  }

  get(id: string): Promise<Payment> {
    return this.#send("GET", `/v1/payments/${encodeURIComponent(id)}`);
  }

  list(limit?: number, after?: string): Promise<PaymentPage> {
    const query = new URLSearchParams();
    if (limit !== undefined) query.set("limit", String(limit));
    if (after !== undefined) query.set("after", after);
    return this.#send("GET", `/v1/payments?${query.toString()}`);
  }

  /** Gives back an amount, or all that is left. */
  refund(id: string, amount?: number): Promise<Payment> {
    return this.#send("POST", `/v1/payments/${encodeURIComponent(id)}/refund`, { amount });
  }

  /** Has events sent to an address, signed with a secret. Doing it again for the same address changes nothing. */
  subscribe(url: string, secret: string): Promise<{ id: string }> {
    return this.#send("POST", "/v1/webhook-endpoints", { url, secret });
  }

  async unsubscribe(id: string): Promise<void> {
    await this.#send("DELETE", `/v1/webhook-endpoints/${encodeURIComponent(id)}`);
  }

  async #send<Answer>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    let response: Response;
    let answer: unknown;
    try {
      response = await fetch(this.#baseUrl + path, {
        method,
        headers: {
          authorization: `Bearer ${this.#apiKey}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(DEADLINE_MS),
      });
      const text = await response.text();
      answer = text === "" ? undefined : JSON.parse(text);
    } catch (error) {
      throw new Unreachable(`no answer from ${this.#baseUrl}`, { cause: error });
    }
    if (!response.ok) {
      const said = (answer as { error?: { message?: unknown } } | undefined)?.error?.message;
      throw new Refused(response.status, typeof said === "string" ? said : response.statusText);
    }
    return answer as Answer;
  }
}
