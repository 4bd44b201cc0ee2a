import { describe, expect, it, vi } from "vitest";
import { CapabilityError } from "../capability-error.js";
import { createDefaultLogger } from "../default-logger.js";
import type { Logger } from "../types.js";
import { applicationRoutes } from "./application.js";
import { createCapabilities, createTimer, UseCounter } from "./capabilities.js";
import { matchTemplate } from "./uri-template.js";

describe("URI templates", () => {
  it.each([
    ["notes://{id}", "notes://7", { id: "7" }],
    ["notes://{id}", "notes://a%2Fb", { id: "a/b" }],
    ["notes://{id}", "notes://a/b", undefined],
    ["files://{+path}", "files://a/b", { path: "a/b" }],
    ["a://{x}/b.{y}", "a://1/b.c", { x: "1", y: "c" }],
    ["a://{x}/b.{y}", "a://1/bxc", undefined],
    ["a://fixed", "a://fixed", {}],
  ])("%s of %s", (template, uri, variables) => {
    expect(matchTemplate(template, uri)).toEqual(variables);
  });
});

describe("the routes of an application", () => {
  it.each([
    ["GET", "/a/:id", ["GET /a/:id"]],
    ["ALL", "/a", ["GET /a", "POST /a", "PUT /a", "PATCH /a", "DELETE /a"]],
    ["GET", "/files/*", ["GET /files", "GET /files/*rest"]],
    ["GET", "*", ["GET /", "GET /*rest"]],
    ["GET", "/a/:id{[0-9]+}", ["GET /", "GET /*rest"]],
    ["GET", "/a/:id?", ["GET /", "GET /*rest"]],
    ["OPTIONS", "/a", []],
  ])("%s %s", (method, path, routes) => {
    expect(
      applicationRoutes([{ method, path }]).map((route) => `${route.method} ${route.path}`),
    ).toEqual(routes);
  });
});

describe("capabilities", () => {
  it("are denied by default, given when declared, and counted", () => {
    const uses = new UseCounter();
    const info = vi.fn();
    const capabilities = createCapabilities(
      ["logger"],
      { logger: { info } as unknown as Logger },
      uses,
    );
    capabilities.logger.info("a");
    expect(info).toHaveBeenCalledWith("a");
    expect(() => capabilities.kv).toThrow(CapabilityError);
    expect({ ...capabilities }).toHaveProperty("logger");
    expect(uses.take()).toEqual([
      { capability: "logger", count: 1, denied: 0 },
      { capability: "kv", count: 0, denied: 1 },
    ]);
    expect(uses.take()).toEqual([]);
  });

  it("that the runtime lacks are told as such", () => {
    const capabilities = createCapabilities(["kv"], {}, new UseCounter());
    expect(() => capabilities.kv).toThrow("this runtime does not have the capability `kv`");
  });

  it("can be awaited, as what an asynchronous function returns", async () => {
    const capabilities = createCapabilities([], {}, new UseCounter());
    expect(await Promise.resolve(capabilities)).toBe(capabilities);
  });

  it("clear all timers at once", () => {
    vi.useFakeTimers();
    const timer = createTimer();
    const rung = vi.fn();
    timer.setTimeout(rung, 10);
    timer.setInterval(rung, 10);
    timer.clearAll();
    vi.advanceTimersByTime(100);
    vi.useRealTimers();
    expect(rung).not.toHaveBeenCalled();
  });
});

it("an error of another copy is known", () => {
  const other = Object.assign(new Error("x"), {
    [Symbol.for("@hatago/core/capability-error")]: true,
  });
  expect(other).toBeInstanceOf(CapabilityError);
  expect(new Error("x")).not.toBeInstanceOf(CapabilityError);
});

it("the default logger writes to the console from its level on", () => {
  const warn = vi.spyOn(console, "warn").mockReturnValue();
  const info = vi.spyOn(console, "info").mockReturnValue();
  const logger = createDefaultLogger("shop", "warn");
  logger.info("quiet");
  logger.warn("loud", { a: 1 });
  createDefaultLogger().info("plain");
  expect(warn.mock.calls).toEqual([["[shop] loud", { a: 1 }]]);
  expect(info.mock.calls).toEqual([["plain"]]);
});
