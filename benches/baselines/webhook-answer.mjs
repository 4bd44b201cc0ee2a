// What a webhook does with its body, the same in the plugin and in the baselines: check the signature over the raw
// bytes, parse, answer.
import { createHmac, timingSafeEqual } from "node:crypto";

const secret = "bench-webhook-secret";

export function webhookAnswer(signature, body) {
  const expected = createHmac("sha256", secret).update(body).digest();
  const given = Buffer.from(signature ?? "", "hex");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    return { status: 400, answer: { error: "wrong signature" } };
  }
  return { status: 200, answer: { received: JSON.parse(body).id } };
}

export function sign(body) {
  return createHmac("sha256", secret).update(body).digest("hex");
}
