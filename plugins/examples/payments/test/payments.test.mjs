import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { createTestHost } from "@hay/plugin-sdk/testing";

import plugin from "../dist/index.js";
import { PaymentService } from "./service.mjs";

const service = new PaymentService();
before(() => service.listen());
after(() => service.close());

const apiKey = (key) => ({ methodId: "apiKey", credentials: { apiKey: key } });
const structured = async (call) => (await call).structuredContent;

describe("what it registers", () => {
  test("a key with a fallback to the environment, a method, a component and a route", async () => {
    const { metadata } = await createTestHost(plugin);
    const { apiKey: field } = metadata.configSchema;
    assert.deepEqual(
      [field.env, field.sensitive, field.required],
      ["PAYMENTS_API_KEY", true, undefined],
    );
    assert.deepEqual(metadata.authMethods, [
      { type: "apiKey", id: "apiKey", label: "API key", configField: "apiKey" },
    ]);
    assert.deepEqual(metadata.routes, [{ method: "POST", path: "/webhook" }]);
    assert.equal(metadata.uiExtensions[0].component, "components/PaymentsSettings.vue");
  });
});

describe("checking the key", () => {
  const check = async (config, auth, env) => {
    const host = await createTestHost(plugin, { config, ...(env && { env }) });
    return host.validateAuth({ auth });
  };

  test("a key that the service knows is valid", async () => {
    const { key } = service.createAccount("Ada's shop");
    assert.deepEqual(await check({ apiUrl: service.url }, apiKey(key)), { valid: true });
  });

  test("the address may come from the environment", async () => {
    const { key } = service.createAccount("Ada's shop");
    assert.deepEqual(await check({}, apiKey(key), { PAYMENTS_API_URL: service.url }), {
      valid: true,
    });
  });

  test("a key that the service refuses is not valid, and neither is none", async () => {
    assert.deepEqual(await check({ apiUrl: service.url }, apiKey("sk_test_wrong")), {
      valid: false,
    });
    assert.deepEqual(await check({ apiUrl: service.url }, undefined), { valid: false });
  });

  test("a service that cannot be reached is told to the person", async () => {
    const closed = new PaymentService();
    const url = await closed.listen();
    await closed.close();
    const verdict = await check({ apiUrl: url }, apiKey("sk_test_any"));
    assert.equal(verdict.valid, false);
    assert.equal(
      verdict.error,
      `The payment service at ${url} cannot be reached. Check its address, or try again later.`,
    );
  });
});

describe("the tools", () => {
  let host;

  beforeEach(async () => {
    const { key } = service.createAccount("Ada's shop");
    host = await createTestHost(plugin, { config: { apiUrl: service.url }, auth: apiKey(key) });
    await host.start();
  });
  afterEach(() => host.stop());

  test("take a payment, look it up and give it back in parts", async () => {
    const made = await structured(
      host.callTool("create_payment", { amount: 1250, currency: "EUR" }),
    );
    assert.equal(made.status, "succeeded");

    const part = await structured(host.callTool("refund_payment", { id: made.id, amount: 250 }));
    assert.deepEqual([part.status, part.refunded], ["partially_refunded", 250]);
    const rest = await structured(host.callTool("refund_payment", { id: made.id }));
    assert.deepEqual([rest.status, rest.refunded], ["refunded", 1250]);
    assert.deepEqual(await structured(host.callTool("get_payment", { id: made.id })), rest);
  });

  test("a repeated call with the same key takes one payment", async () => {
    const order = { amount: 100, currency: "EUR", idempotencyKey: "order-7" };
    const first = await structured(host.callTool("create_payment", order));
    assert.deepEqual(await structured(host.callTool("create_payment", order)), first);
    assert.equal((await structured(host.callTool("list_payments"))).payments.length, 1);
  });

  test("list page by page, the newest first", async () => {
    for (const amount of [1, 2, 3])
      await host.callTool("create_payment", { amount, currency: "EUR" });
    const first = await structured(host.callTool("list_payments", { limit: 2 }));
    assert.deepEqual(
      first.payments.map((payment) => payment.amount),
      [3, 2],
    );
    const second = await structured(
      host.callTool("list_payments", { limit: 2, after: first.next }),
    );
    assert.deepEqual(
      [second.payments.map((payment) => payment.amount), second.next],
      [[1], undefined],
    );
  });

  test("what the service refuses is a result that says so", async () => {
    const result = await host.callTool("get_payment", { id: "pay_none" });
    assert.equal(result.isError, true);
    assert.match(result.content[0].text, /there is no payment `pay_none`/);
  });

  test("another merchant's payment does not exist", async () => {
    const { id } = await structured(
      host.callTool("create_payment", { amount: 5, currency: "EUR" }),
    );
    const { key } = service.createAccount("Bert's shop");
    const other = await createTestHost(plugin, {
      config: { apiUrl: service.url },
      auth: apiKey(key),
    });
    await other.start();
    assert.equal((await other.callTool("get_payment", { id })).isError, true);
    await other.stop();
  });
});

describe("starting and stopping", () => {
  test("without a key it starts without tools and says so", async () => {
    const host = await createTestHost(plugin, { config: { apiUrl: service.url } });
    await host.start();
    assert.deepEqual(await host.listTools(), []);
    assert.match(host.logs.at(-1).message, /no API key is configured/);
  });

  test("it subscribes to events once, and no longer when it is disabled", async () => {
    const account = service.createAccount("Ada's shop");
    const config = {
      apiUrl: service.url,
      webhookSecret: "whsec",
      webhookUrl: "https://hay.example/webhook",
    };
    const host = await createTestHost(plugin, { config, auth: apiKey(account.key) });
    await host.start();
    await host.start();
    assert.deepEqual(
      account.endpoints.map(({ url, secret }) => ({ url, secret })),
      [{ url: config.webhookUrl, secret: "whsec" }],
    );
    await host.disable();
    assert.deepEqual(account.endpoints, []);
    assert.deepEqual(host.mcpServers, []);
  });
});
