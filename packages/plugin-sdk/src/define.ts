/**
 * Marks a function as a plugin. Must not know how plugins are loaded or run.
 */

import { PluginDefinitionError } from "./errors.js";
import { described } from "./registry/described.js";
import type { ConfigSchema } from "./types/config.js";
import type { HayGlobalContext } from "./types/contexts.js";
import type { HayPluginDefinition, HayPluginFactory } from "./types/definition.js";
import { SDK_VERSION } from "./version.js";

/** In the global symbol registry, so that a host with another copy of this package sees it too. */
export const PLUGIN_BRAND = Symbol.for("@hay/plugin-sdk/plugin");

/**
 * Defines a plugin. A package's entry exports the result as its default.
 *
 * With the type of the plugin's configuration schema, as in `defineHayPlugin<typeof schema>`, `config.get` accepts only
 * the names of its fields and gives values of their types. Without it any name compiles and values are untyped.
 *
 * @throws PluginDefinitionError if `factory` is not a function.
 */
export function defineHayPlugin<Schema extends ConfigSchema = ConfigSchema>(
  factory: (ctx: HayGlobalContext<Schema>) => HayPluginDefinition<Schema>,
): HayPluginFactory {
  const given: unknown = factory;
  if (typeof given !== "function") {
    throw new PluginDefinitionError([
      {
        at: "defineHayPlugin",
        message: `takes a function, but got ${described(given)}`,
        hint: 'write `export default defineHayPlugin((ctx) => ({ name: "…" }))`',
      },
    ]);
  }
  // The host makes one context for all plugins; the schema only exists for the compiler.
  const plugin = (ctx: HayGlobalContext) =>
    factory(ctx as unknown as HayGlobalContext<Schema>) as unknown as HayPluginDefinition;
  Object.defineProperty(plugin, PLUGIN_BRAND, { value: { sdk: SDK_VERSION } });
  return plugin;
}
