import { describe, expect, it, vi } from "vitest";

import { createLogger, Logger } from "./logger.js";
import type { LogLevel } from "./types/logger.js";

interface Line {
  level: LogLevel;
  message: string;
  meta?: unknown;
}

function logged(message: unknown, meta?: unknown): Line {
  const lines: string[] = [];
  createLogger((line) => lines.push(line)).info(message as string, meta);
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toContain("\n");
  expect(Buffer.byteLength(lines[0] ?? "")).toBeLessThanOrEqual(16 * 1024);
  return JSON.parse(lines[0] ?? "") as Line;
}

const cycle: Record<string, unknown> = { a: 1 };
cycle.self = cycle;
const shared = { x: 1 };

describe("createLogger", () => {
  it.each(["debug", "info", "warn", "error"] as const)("writes %s", (level) => {
    const lines: string[] = [];
    createLogger((line) => lines.push(line))[level]("hello", { a: 1 });
    expect(lines).toEqual([JSON.stringify({ level, message: "hello", meta: { a: 1 } })]);
  });

  it("leaves out what was not given", () => {
    expect(logged("hello")).toEqual({ level: "info", message: "hello" });
    expect(logged("hello", null)).toEqual({ level: "info", message: "hello" });
  });

  it("keeps line breaks inside the line", () => {
    expect(logged("one\ntwo\r\nthree").message).toBe("one\ntwo\r\nthree");
  });

  it.each<[string, unknown, unknown]>([
    ["a cycle", cycle, { a: 1, self: "[circular]" }],
    ["the same object twice", [shared, shared], [{ x: 1 }, { x: 1 }]],
    ["a big integer", { n: 2n ** 70n }, { n: "1180591620717411303424" }],
    ["numbers that JSON lacks", [NaN, Infinity, -0], ["NaN", "Infinity", 0]],
    [
      "a getter that throws",
      {
        get bad() {
          throw new Error("no");
        },
        good: 1,
      },
      { bad: "[throws: no]", good: 1 },
    ],
    [
      "a `toJSON` that throws",
      {
        toJSON() {
          throw new Error("no");
        },
      },
      "[throws: no]",
    ],
    ["a `toJSON` that answers", { toJSON: () => ({ a: 1n }) }, { a: "1" }],
    [
      "a proxy that throws",
      new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error("no");
          },
        },
      ),
      "[throws: no]",
    ],
    ["a revoked proxy", revoked(), expect.stringContaining("[throws")],
    [
      "functions and symbols",
      { f() {}, s: Symbol("x"), u: undefined },
      { f: "[function]", s: "Symbol(x)" },
    ],
    ["a date", [new Date(0), new Date(NaN)], ["1970-01-01T00:00:00.000Z", "[invalid date]"]],
    ["a map and a set", { m: new Map([["a", 1]]), s: new Set([1]) }, { m: [["a", 1]], s: [1] }],
    ["bytes", { b: Buffer.from("secret") }, { b: "[6 bytes]" }],
    ["an address", new URL("https://a.example/b"), "https://a.example/b"],
    ["an object without a prototype", Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
    ["something deep", nested(20), expect.anything()],
  ])("survives %s", (_, meta, expected) => {
    expect(logged("hello", meta).meta).toEqual(expected);
  });

  it("keeps a key named `__proto__` a key", () => {
    const lines: string[] = [];
    const meta: unknown = JSON.parse('{"__proto__":{"polluted":true}}');
    createLogger((line) => lines.push(line)).info("hello", meta);
    expect(lines[0]).toContain('"meta":{"__proto__":{"polluted":true}}');
    expect({}).not.toHaveProperty("polluted");
  });

  it("shows errors with cause, code and stack", () => {
    const error = Object.assign(new Error("outer", { cause: new TypeError("inner") }), {
      code: "E1",
    });
    const { meta } = logged("failed", error);
    expect(meta).toMatchObject({
      name: "Error",
      message: "outer",
      code: "E1",
      cause: { name: "TypeError", message: "inner" },
    });
    expect((meta as { stack: string }).stack).toContain("logger.test.ts");
  });

  it("takes an error in place of the message", () => {
    const line = logged(new Error("boom"));
    expect(line).toMatchObject({ message: "boom", meta: { name: "Error", message: "boom" } });
  });

  it.each<[unknown, string]>([
    [undefined, "[undefined]"],
    [null, "null"],
    [12, "12"],
    [Symbol("x"), "Symbol(x)"],
    [{ a: 1 }, '{"a":1}'],
  ])("takes %s in place of the message", (message, expected) => {
    expect(logged(message).message).toBe(expected);
  });

  it("takes an error whose message throws", () => {
    const error = new Error("x");
    Object.defineProperty(error, "message", {
      get() {
        throw new Error("no");
      },
    });
    expect(logged(error).message).toBe("[throws: message]");
  });

  it("shortens what does not fit in a line", () => {
    expect(logged("x".repeat(100_000)).message).toMatch(/^x{1000,}… \[100000 characters\]$/);
    expect(logged("\u0000".repeat(100_000)).message).toMatch(/\[100000 characters\]$/);
    const wide = Array.from({ length: 90 }, () => "y".repeat(5_000));
    expect(logged("hello", wide)).toEqual({
      level: "info",
      message: "hello",
      meta: expect.stringMatching(/^\[left out: \d+ characters\]$/) as unknown,
    });
    expect(
      logged(
        "hello",
        Array.from({ length: 1_000 }, () => 1),
      ).meta,
    ).toHaveLength(101);
  });

  it("never throws, even if the writer does", () => {
    const logger = createLogger(() => {
      throw new Error("EPIPE");
    });
    expect(() => {
      logger.error("hello");
    }).not.toThrow();
  });

  it("writes to standard output unless told otherwise", () => {
    const write = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    new Logger("sync").warn("slow");
    const written = write.mock.calls;
    write.mockRestore();
    expect(written).toEqual([['{"level":"warn","message":"[sync] slow"}\n']]);
  });
});

function nested(depth: number): unknown {
  return depth === 0 ? "end" : { inner: nested(depth - 1) };
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}
