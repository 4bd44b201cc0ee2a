// A payment service that keeps its state in memory: accounts, payments, refunds, and signed webhooks.
//
// Merchants use `/v1/…` with their key. A test drives the service through `/control/…`, which a real one has not.
// Alone: `node service.mjs [--port 8700] [--host 127.0.0.1]` prints one line of JSON, `{"url": "http://…"}`.
import { createHmac, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const MAX_BODY_BYTES = 1024 * 1024;
const DELIVERY_DEADLINE_MS = 10_000;

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** One merchant. */
class Account {
  payments = [];
  endpoints = [];
  byIdempotencyKey = new Map();

  constructor(id, name) {
    this.id = id;
    this.name = name;
    this.key = `sk_test_${randomBytes(16).toString("hex")}`;
  }

  payment(id) {
    const payment = this.payments.find((candidate) => candidate.id === id);
    if (payment === undefined) throw new Refusal(404, `there is no payment \`${id}\``);
    return payment;
  }
}

export class PaymentService {
  #accounts = new Map();
  #counter = 0;
  #deliveries = [];
  #waiting = new Set();
  #server = createServer((req, res) => this.#answer(req, res));

  /** Listens, on a free port if none is given, and resolves to the base address. */
  async listen({ port = 0, host = "127.0.0.1" } = {}) {
    await new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, host, resolve);
    });
    this.url = `http://${host}:${this.#server.address().port}`;
    return this.url;
  }

  async close() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  createAccount(name) {
    const account = new Account(this.#id("acct"), name);
    this.#accounts.set(account.key, account);
    return account;
  }

  /** The webhooks sent so far and what was answered, as soon as there are `count` of them. */
  async deliveries(count = 0) {
    while (this.#deliveries.length < count) {
      await new Promise((resolve) => this.#waiting.add(resolve));
    }
    return this.#deliveries;
  }

  #id(prefix) {
    this.#counter += 1;
    return `${prefix}_${this.#counter}`;
  }

  async #answer(req, res) {
    let status = 200;
    let body;
    try {
      const url = new URL(req.url, this.url);
      const [scope, ...path] = url.pathname.split("/").filter(Boolean).map(decodeURIComponent);
      const given = await readJson(req);
      const control = { method: req.method, path, query: url.searchParams, given };
      if (scope === "control") [status, body] = await this.#control(control);
      else if (scope === "v1")
        [status, body] = this.#merchant(this.#authenticate(req), req, control);
      else throw new Refusal(404, "there is nothing at this address");
    } catch (error) {
      status = error.status ?? 500;
      body = { error: { message: error.message } };
    }
    const text = body === undefined ? "" : JSON.stringify(body);
    res.writeHead(status, { "content-type": "application/json" }).end(text);
  }

  #authenticate(req) {
    const account = this.#accounts.get(/^Bearer (.+)$/.exec(req.headers.authorization ?? "")?.[1]);
    if (account === undefined) throw new Refusal(401, "the key is not valid");
    return account;
  }

  async #control({ method, path: [noun], query, given }) {
    switch (`${method} ${noun}`) {
      case "POST accounts": {
        const { id, name, key } = this.createAccount(given?.name ?? "Test merchant");
        return [201, { id, name, key }];
      }
      case "GET deliveries":
        return [200, { deliveries: await this.deliveries(Number(query.get("count") ?? 0)) }];
      default:
        throw new Refusal(404, "there is nothing at this address");
    }
  }

  #merchant(account, req, { method, path: [noun, id, act], query, given }) {
    const shape = [noun, id && ":id", act].filter(Boolean).join("/");
    switch (`${method} ${shape}`) {
      case "GET account":
        return [200, { id: account.id, name: account.name }];
      case "POST payments":
        return this.#createPayment(account, req.headers["idempotency-key"], given ?? {});
      case "GET payments":
        return [200, listPayments(account, query)];
      case "GET payments/:id":
        return [200, account.payment(id)];
      case "POST payments/:id/refund":
        return [200, this.#refund(account, account.payment(id), given?.amount)];
      case "POST webhook-endpoints":
        return this.#subscribe(account, given ?? {});
      case "GET webhook-endpoints":
        return [200, { endpoints: account.endpoints.map(({ id, url }) => ({ id, url })) }];
      case "DELETE webhook-endpoints/:id":
        account.endpoints = account.endpoints.filter((endpoint) => endpoint.id !== id);
        return [204, undefined];
      default:
        throw new Refusal(404, "there is nothing at this address");
    }
  }

  #createPayment(account, idempotencyKey, { amount, currency, description }) {
    if (!Number.isSafeInteger(amount) || amount < 1)
      throw new Refusal(422, "`amount` is no positive integer");
    if (!/^[A-Z]{3}$/.test(currency)) throw new Refusal(422, "`currency` is no ISO 4217 code");
    const earlier = account.byIdempotencyKey.get(idempotencyKey);
    if (earlier !== undefined) return [200, earlier];
    const payment = {
      id: this.#id("pay"),
      amount,
      currency,
      status: "succeeded",
      refunded: 0,
      description,
      createdAt: new Date().toISOString(),
    };
    account.payments.unshift(payment);
    if (idempotencyKey !== undefined) account.byIdempotencyKey.set(idempotencyKey, payment);
    this.#send(account, "payment.created", payment);
    return [201, payment];
  }

  #refund(account, payment, amount = payment.amount - payment.refunded) {
    if (!Number.isSafeInteger(amount) || amount < 1)
      throw new Refusal(409, "there is nothing left to refund");
    if (payment.refunded + amount > payment.amount) {
      throw new Refusal(409, `only ${payment.amount - payment.refunded} can still be refunded`);
    }
    payment.refunded += amount;
    payment.status = payment.refunded === payment.amount ? "refunded" : "partially_refunded";
    this.#send(account, "payment.refunded", payment);
    return payment;
  }

  #subscribe(account, { url, secret = `whsec_${randomBytes(16).toString("hex")}` }) {
    if (!URL.canParse(url)) throw new Refusal(422, "`url` is no address");
    const earlier = account.endpoints.find((endpoint) => endpoint.url === url);
    if (earlier !== undefined) return [200, Object.assign(earlier, { secret })];
    const endpoint = { id: this.#id("we"), url, secret };
    account.endpoints.push(endpoint);
    return [201, endpoint];
  }

  #send(account, type, payment) {
    const body = JSON.stringify({ id: this.#id("evt"), type, payment });
    for (const { url, secret } of account.endpoints) void this.#deliver(url, secret, body);
  }

  async #deliver(url, secret, body) {
    const delivery = { url, event: JSON.parse(body) };
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json", "payments-signature": sign(body, secret) },
        body,
        signal: AbortSignal.timeout(DELIVERY_DEADLINE_MS),
      });
      Object.assign(delivery, { status: response.status, answer: await response.text() });
    } catch (error) {
      delivery.error = String(error.cause ?? error);
    }
    this.#deliveries.push(delivery);
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

/** The header of a webhook: when it was signed, and HMAC-SHA-256 over that and the exact bytes. */
export function sign(body, secret, seconds = Math.floor(Date.now() / 1000)) {
  const signature = createHmac("sha256", secret).update(`${seconds}.`).update(body).digest("hex");
  return `t=${seconds},v1=${signature}`;
}

function listPayments(account, query) {
  const limit = Math.min(Math.max(Number(query.get("limit") ?? 20) || 20, 1), 100);
  const after = query.get("after");
  const start = after === null ? 0 : account.payments.indexOf(account.payment(after)) + 1;
  const payments = account.payments.slice(start, start + limit);
  return start + limit < account.payments.length
    ? { payments, next: payments.at(-1).id }
    : { payments };
}

async function readJson(req) {
  const chunks = [];
  let length = 0;
  for await (const chunk of req) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw new Refusal(413, "the body is too large");
    chunks.push(chunk);
  }
  if (length === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new Refusal(400, "the body is no JSON");
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { port: { type: "string" }, host: { type: "string" } } });
  const service = new PaymentService();
  const url = await service.listen({
    port: Number(values.port ?? 0),
    host: values.host ?? "127.0.0.1",
  });
  console.log(JSON.stringify({ url }));
}
