import { describe, expect, it, vi } from "vitest";

import * as first from "./errors.js";

describe("errors", () => {
  it("are recognized across two copies of the package", async () => {
    vi.resetModules();
    const second = await import("./errors.js");
    expect(second.PluginDefinitionError).not.toBe(first.PluginDefinitionError);
    const error = new second.ConfigMissingError("apiKey", "API key", "missing");
    expect(error).toBeInstanceOf(first.ConfigMissingError);
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(first.ConfigValueError);
    expect(error).not.toBeInstanceOf(first.PluginDefinitionError);
  });

  it("leave subclasses to themselves", () => {
    class Own extends first.ConfigMissingError {}
    expect(new first.ConfigMissingError("a", undefined, "m")).not.toBeInstanceOf(Own);
    expect(new Own("a", undefined, "m")).toBeInstanceOf(Own);
    expect(new Own("a", undefined, "m")).toBeInstanceOf(first.ConfigMissingError);
  });

  it("are not fooled by other values", () => {
    for (const value of [null, undefined, 1, "x", {}, new Error("x")]) {
      expect(value).not.toBeInstanceOf(first.ConfigMissingError);
    }
  });

  it("print every problem", () => {
    const problems = [
      { at: "register.config.a.type", message: "is missing", hint: "use `string`" },
      { at: "register.route[0].path", message: "is missing" },
    ];
    expect(new first.PluginDefinitionError(problems).message).toBe(
      "the plugin is not valid, 2 problems:\n" +
        "  register.config.a.type: is missing (use `string`)\n" +
        "  register.route[0].path: is missing",
    );
    expect(new first.PluginDefinitionError(problems.slice(1)).message).toBe(
      "the plugin is not valid: register.route[0].path: is missing",
    );
  });
});
