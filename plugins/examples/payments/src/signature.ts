import { createHmac, timingSafeEqual } from "node:crypto";

/** How far the sender's clock may be from ours, in seconds. It also bounds how long an event can be replayed. */
export const TOLERANCE_SECONDS = 300;

/** What became of a signature. */
export type Verdict = "valid" | "malformed" | "expired" | "wrong";

/**
 * Checks a header `t=<seconds>,v1=<hexadecimal HMAC-SHA-256 of "<t>.<body>">`. There may be several `v1` while a
 * secret is being changed; one of them must be right.
 */
export function checkSignature(
  header: string | undefined,
  body: Uint8Array,
  secret: string,
  nowSeconds: number,
): Verdict {
  const parts = (header ?? "").split(",").map((part) => part.trim().split("=", 2));
  const timestamp = parts.find(([name]) => name === "t")?.[1];
  const signatures = parts.flatMap(([name, value]) =>
    name === "v1" && value !== undefined ? [value] : [],
  );
  if (timestamp === undefined || !/^\d{1,12}$/.test(timestamp) || signatures.length === 0)
    return "malformed";

  const expected = createHmac("sha256", secret).update(`${timestamp}.`).update(body).digest();
  const right = signatures.some((signature) => {
    const given = Buffer.from(signature, "hex");
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
  if (!right) return "wrong";
  // Only told to those who hold the secret.
  return Math.abs(nowSeconds - Number(timestamp)) <= TOLERANCE_SECONDS ? "valid" : "expired";
}
