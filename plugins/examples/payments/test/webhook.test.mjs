import assert from "node:assert/strict";
import { createServer } from "node:http";
import { describe, mock, test } from "node:test";

import { createTestHost } from "@hay/plugin-sdk/testing";

import plugin from "../dist/index.js";
import { PaymentService, sign } from "./service.mjs";

const secret = "whsec_test";
const event = (id) => JSON.stringify({ id, type: "payment.created", payment: { id: "pay_1" } });

async function startedHost(config = { webhookSecret: secret }) {
  const host = await createTestHost(plugin, {
    config: { apiUrl: "http://127.0.0.1:9", ...config },
  });
  await host.start();
  return host;
}

const deliver = (host, body, signature, type = "application/json") =>
  host.request("POST", "/webhook", {
    headers: { "content-type": type, ...(signature && { "payments-signature": signature }) },
    body: typeof body === "string" ? Buffer.from(body) : body,
  });

describe("the signature", () => {
  const now = () => Math.floor(Date.now() / 1000);
  const body = event("evt_1");
  const cases = [
    ["right", sign(body, secret), 200],
    ["one of two secrets", `${sign(body, "old")},${sign(body, secret).split(",")[1]}`, 200],
    ["of another secret", sign(body, "other"), 400],
    ["of other bytes", sign(body.replace("pay_1", "pay_2"), secret), 400],
    ["of the same JSON in other bytes", sign(`${body} `, secret), 400],
    ["of another time than it says", sign(body, secret).replace(/^t=\d+/, `t=${now() - 1}`), 400],
    ["just in time", sign(body, secret, now() - 299), 200],
    ["too old", sign(body, secret, now() - 302), 400],
    ["from the future", sign(body, secret, now() + 302), 400],
    ["cut short", sign(body, secret).slice(0, -2), 400],
    ["without a time", sign(body, secret).split(",")[1], 400],
    ["not there", undefined, 400],
    ["nonsense", "t=,v1=,,=", 400],
  ];
  for (const [name, signature, status] of cases) {
    test(`${name}: ${status}`, async () => {
      const host = await startedHost();
      assert.equal((await deliver(host, body, signature)).status, status);
      const handled = host.logs.filter((line) => line.message === "received a payment event");
      assert.equal(handled.length, status === 200 ? 1 : 0);
    });
  }
});

test("an event that arrives again is acknowledged and handled once", async () => {
  const host = await startedHost();
  const [body, other] = [event("evt_1"), event("evt_2")];
  const answers = [];
  for (const sent of [body, body, other])
    answers.push((await deliver(host, sent, sign(sent, secret))).json());
  assert.deepEqual(answers, [
    { received: true, event: "evt_1", duplicate: false },
    { received: true, event: "evt_1", duplicate: true },
    { received: true, event: "evt_2", duplicate: false },
  ]);
  const handled = host.logs.filter((line) => line.message === "received a payment event");
  assert.deepEqual(
    handled.map((line) => line.meta.event),
    ["evt_1", "evt_2"],
  );
});

test("a signature made for the future cannot be replayed after it was forgotten", async (t) => {
  mock.timers.enable({ apis: ["Date"], now: Date.parse("2026-01-02T03:04:05Z") });
  t.after(() => mock.timers.reset());
  const host = await startedHost();
  const body = event("evt_1");
  const signature = sign(body, secret, Date.now() / 1000 + 300);
  assert.equal((await deliver(host, body, signature)).json().duplicate, false);
  mock.timers.tick(600_000);
  assert.equal((await deliver(host, body, signature)).json().duplicate, true);
  mock.timers.tick(1_000);
  assert.equal((await deliver(host, body, signature)).status, 400);
});

test("without a secret nothing is accepted", async () => {
  const host = await startedHost({});
  const body = event("evt_1");
  assert.equal((await deliver(host, body, sign(body, "undefined"))).status, 503);
});

test("signed bytes that are no event are refused", async () => {
  const host = await startedHost();
  for (const body of ["", "null", "[]", "{}", '{"id":1}', Buffer.from([0xff, 0xfe])]) {
    const answer = await deliver(host, body, sign(body, secret), "application/octet-stream");
    assert.equal(answer.status, 400, String(body));
  }
});

test("what the service sends is accepted", async (t) => {
  const host = await startedHost();
  // Stands for the host: hands the request on with its bytes unchanged.
  const front = createServer(async (req, res) => {
    const chunks = await req.toArray();
    const answer = await host.request(req.method, req.url, {
      headers: req.headers,
      body: Buffer.concat(chunks),
    });
    res.writeHead(answer.status, answer.headers).end(answer.text);
  });
  const service = new PaymentService();
  t.after(() => (front.closeAllConnections(), front.close(), service.close()));
  await service.listen();
  await new Promise((resolve) => front.listen(0, "127.0.0.1", resolve));

  const { key } = service.createAccount("Ada's shop");
  const call = (path, body) =>
    fetch(service.url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const url = `http://127.0.0.1:${front.address().port}/webhook`;
  assert.equal((await call("/v1/webhook-endpoints", { url, secret })).status, 201);
  const payment = await (await call("/v1/payments", { amount: 1, currency: "EUR" })).json();

  const [delivery] = await service.deliveries(1);
  assert.equal(delivery.status, 200, delivery.error);
  assert.equal(delivery.event.payment.id, payment.id);
});
