import { describe, expect, it } from "vitest";

import { defineHayPlugin, PLUGIN_BRAND } from "./define.js";
import { PluginDefinitionError } from "./errors.js";
import { PluginRegistry } from "./registry/plugin-registry.js";
import { createLogger } from "./logger.js";
import {
  describePlugin,
  hasPluginBrand,
  isHayPluginFactory,
  resolveDefinition,
} from "./resolve-definition.js";
import type { HayGlobalContext } from "./types/contexts.js";
import type { HayPluginFactory } from "./types/definition.js";
import type { Problem } from "./types/problem.js";

function context(lines: string[] = []): HayGlobalContext {
  const logger = createLogger((line) => lines.push(line));
  const { register, config } = new PluginRegistry({ logger });
  return { register, config, logger };
}

function problemsOf(factory: unknown): readonly Problem[] {
  try {
    resolveDefinition(factory as HayPluginFactory, context());
  } catch (error) {
    if (error instanceof PluginDefinitionError) return error.problems;
    throw error;
  }
  return [];
}

describe("defineHayPlugin", () => {
  it("passes the context on and returns what the factory returns", () => {
    const ctx = context();
    let got: unknown;
    const definition = { name: "Shop" };
    const plugin = defineHayPlugin((given) => {
      got = given;
      return definition;
    });
    expect(plugin(ctx)).toBe(definition);
    expect(got).toBe(ctx);
  });

  it("brands by the global symbol registry", () => {
    const plugin = defineHayPlugin(() => ({ name: "Shop" }));
    expect(PLUGIN_BRAND).toBe(Symbol.for("@hay/plugin-sdk/plugin"));
    expect(Reflect.has(plugin, PLUGIN_BRAND)).toBe(true);
    expect(hasPluginBrand(plugin)).toBe(true);
    expect(hasPluginBrand(() => ({ name: "Shop" }))).toBe(false);
  });

  it("takes a frozen factory, and the same one twice", () => {
    const factory = Object.freeze(() => ({ name: "Shop" }));
    expect(hasPluginBrand(defineHayPlugin(factory))).toBe(true);
    expect(hasPluginBrand(defineHayPlugin(factory))).toBe(true);
  });

  it.each([undefined, null, {}, "plugin", { name: "Shop" }])("refuses %j", (given) => {
    expect(() => defineHayPlugin(given as never)).toThrow(PluginDefinitionError);
  });
});

describe("isHayPluginFactory", () => {
  class Plugin {}
  it.each([
    [defineHayPlugin(() => ({ name: "Shop" })), true],
    [() => ({ name: "Shop" }), true],
    [
      function plugin() {
        return { name: "Shop" };
      },
      true,
    ],
    [Plugin, false],
    [class extends Plugin {}, false],
    [{ name: "Shop" }, false],
    [undefined, false],
    [null, false],
  ])("%s → %s", (value, expected) => {
    expect(isHayPluginFactory(value)).toBe(expected);
  });
});

describe("resolveDefinition", () => {
  it.each<[string, unknown, string[]]>([
    ["nothing", () => undefined, ["definition"]],
    ["a text", () => "Shop", ["definition"]],
    ["a promise", () => Promise.resolve({ name: "Shop" }), ["definition"]],
    ["no name", () => ({}), ["definition.name"]],
    ["a blank name", () => ({ name: "  " }), ["definition.name"]],
    [
      "everything wrong at once",
      () => ({ name: 1, onStart: true, onValidateAuth: "yes", onstart() {} }),
      ["definition.name", "definition.onStart", "definition.onValidateAuth", "definition.onstart"],
    ],
    ["nothing wrong", () => ({ name: "Shop", onStart() {} }), []],
  ])("finds what is wrong with %s", (_, factory, places) => {
    expect(problemsOf(factory).map(({ at }) => at)).toEqual(places);
  });

  it("lets the factory's own error through", () => {
    const fault = new Error("no such module");
    expect(() =>
      resolveDefinition(() => {
        throw fault;
      }, context()),
    ).toThrow(fault);
  });

  it("warns of hooks that nobody calls", () => {
    const lines: string[] = [];
    resolveDefinition(
      () => ({ name: "Shop", onMessage() {} }) as ReturnType<HayPluginFactory>,
      context(lines),
    );
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("onMessage");
  });

  it("takes an instance of a class, hooks on its prototype", () => {
    class Shop {
      name = "Shop";
      onStart() {}
    }
    const definition = resolveDefinition(() => new Shop(), context());
    const registry = new PluginRegistry({ logger: createLogger(() => {}) });
    expect(describePlugin(definition, registry.seal()).hooks).toEqual(["onStart"]);
  });
});
