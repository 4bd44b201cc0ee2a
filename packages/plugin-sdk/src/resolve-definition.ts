/** From a module's export to a checked plugin definition. Must not know how modules are loaded. */

import { PLUGIN_BRAND } from "./define.js";
import { PluginDefinitionError } from "./errors.js";
import { described } from "./registry/described.js";
import { Problems } from "./registry/problems.js";
import type { HayGlobalContext } from "./types/contexts.js";
import type { HayPluginDefinition, HayPluginFactory, HookName } from "./types/definition.js";
import type { PluginMetadata, PluginRegistration } from "./types/metadata.js";

const HOOKS: readonly HookName[] = [
  "onInitialize",
  "onEnable",
  "onStart",
  "onValidateAuth",
  "onConfigUpdate",
  "onDisable",
  "onConnected",
];

/** Whether a value was made by `defineHayPlugin`, by any copy of this package. */
export function hasPluginBrand(value: unknown): value is HayPluginFactory {
  return typeof value === "function" && Reflect.has(value, PLUGIN_BRAND);
}

/** Whether a value can be called as a plugin factory: what `defineHayPlugin` made, or a bare function. */
export function isHayPluginFactory(value: unknown): value is HayPluginFactory {
  if (typeof value !== "function") return false;
  // A class is a function too, but only `new` can call it.
  return hasPluginBrand(value) || !/^class\b/.test(Function.prototype.toString.call(value));
}

/**
 * Calls the factory and checks what it returns.
 *
 * @throws PluginDefinitionError with all that is wrong; whatever the factory itself throws passes through.
 */
export function resolveDefinition(
  factory: HayPluginFactory,
  ctx: HayGlobalContext,
): HayPluginDefinition {
  const definition: unknown = factory(ctx);
  if (typeof definition !== "object" || definition === null || definition instanceof Promise) {
    throw new PluginDefinitionError([
      {
        at: "definition",
        message: `the factory must return an object, but returned ${described(definition)}`,
        hint:
          definition instanceof Promise
            ? "make the factory synchronous, and do what takes time in `onInitialize`"
            : 'return `{ name: "…", … }`; an arrow function needs parentheses around it',
      },
    ]);
  }
  const problems = new Problems();
  const name: unknown = Reflect.get(definition, "name");
  if (typeof name !== "string" || name.trim() === "") {
    problems.add(
      "definition.name",
      name === undefined ? "is missing" : `must be a string, but got ${described(name)}`,
      "give the name that people read",
    );
  }
  for (const hook of HOOKS) {
    const value: unknown = Reflect.get(definition, hook);
    if (value !== undefined && typeof value !== "function") {
      problems.add(`definition.${hook}`, `must be a function, but got ${described(value)}`);
    }
  }
  for (const key of Object.keys(definition)) {
    const hook = HOOKS.find((name) => name !== key && name.toLowerCase() === key.toLowerCase());
    if (hook !== undefined) {
      problems.add(`definition.${key}`, "is never called", `the hook is named \`${hook}\``);
    } else if (/^on[A-Z]/.test(key) && !HOOKS.some((name) => name === key)) {
      ctx.logger.warn(`the hook \`${key}\` is not known and is never called`);
    }
  }
  if (problems.count > 0) throw new PluginDefinitionError(problems.list);
  return definition as HayPluginDefinition;
}

/** What the host is told of a plugin. */
export function describePlugin(
  definition: HayPluginDefinition,
  metadata: PluginMetadata,
): PluginRegistration {
  const hooks = HOOKS.filter((hook) => definition[hook] !== undefined);
  return { name: definition.name, ...metadata, hooks };
}
