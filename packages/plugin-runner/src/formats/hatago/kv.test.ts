import { expect, test } from "vitest";
import type { WorkerRequest } from "../../protocol.js";
import { createKv } from "./kv.js";

test("only so many operations wait for the host, and all of them are done in order", async () => {
  const asked: WorkerRequest[] = [];
  const answers: (() => void)[] = [];
  const kv = createKv((request) => {
    asked.push(request);
    return new Promise((resolve) => answers.push(() => resolve({})));
  });
  const all = Promise.all(Array.from({ length: 300 }, (_, n) => kv.set(`k${n}`, "v")));
  for (let answered = 0; answered < 300; answered += 1) {
    expect(asked.length - answered).toBeLessThanOrEqual(16);
    answers[answered]?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await all;
  expect(asked.map((request) => "key" in request && request.key)).toEqual(
    Array.from({ length: 300 }, (_, n) => `k${n}`),
  );
});

test("an operation that fails makes room for the next", async () => {
  const kv = createKv(() => Promise.reject(new Error("no")));
  const all = await Promise.allSettled(Array.from({ length: 40 }, () => kv.get("k")));
  expect(all.every(({ status }) => status === "rejected")).toBe(true);
});

test("what is no text that can be sent is refused before anybody is asked", async () => {
  const kv = createKv(() => {
    throw new Error("asked");
  });
  for (const key of ["", "\ud800", "x".repeat(513)]) {
    await expect(kv.get(key)).rejects.toThrow(/^a key of `kv`/);
  }
  await expect(kv.set("k", "\udc00")).rejects.toThrow("well-formed");
  await expect(kv.set("k", "v", 0)).rejects.toThrow("whole number");
});
