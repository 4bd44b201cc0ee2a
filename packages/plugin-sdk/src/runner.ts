/**
 * What is left of the name `@hay/plugin-sdk/runner`. The program that runs plugins ships with Hayloft and is not part
 * of this package. Type imports from here keep compiling; running a plugin from here says how it is done.
 */

export type { HayGlobalContext } from "./types/contexts.js";
export type { HayPluginDefinition, HayPluginFactory } from "./types/definition.js";
export type { PluginMetadata, PluginRegistration } from "./types/metadata.js";

/**
 * Always throws: a plugin does not run itself. `hayloft serve --plugins-dir DIR` runs the plugins of a folder, and
 * `createTestHost` of `@hay/plugin-sdk/testing` runs one in a test.
 */
export function runPlugin(): never {
  throw new Error(
    "a plugin is run by its host, not by `@hay/plugin-sdk/runner`: start `hayloft serve --plugins-dir DIR`, or use `createTestHost` of `@hay/plugin-sdk/testing` in a test",
  );
}
