/**
 * The seam between `HayPlugin` and whatever runs it. A plugin brings its own copy of this package, so the two meet at a
 * name in the global symbol registry.
 */

import { createRequire } from "node:module";

import type { RouteHandler } from "../types/http.js";
import type { HayLogger } from "../types/logger.js";
import type { HayClassMetadata, HayExpressApp, HayPluginSdk } from "./types.js";

/** Marks `HayPlugin` and with it every class that extends it. */
export const CLASS_BRAND = Symbol.for("@hay/plugin-sdk/class");

/** Where the one who runs plugins in this process is found. */
const HOST = Symbol.for("@hay/plugin-sdk/class-host");

/** A class that extends `HayPlugin` and can be made without arguments. */
export type HayPluginClass = new () => object;

/** What one instance works with. */
export interface ClassHosting {
  readonly metadata: HayClassMetadata;
  /** The organization's values; the same object for the life of the instance. */
  readonly config: Record<string, unknown>;
  readonly sdk: HayPluginSdk;
  readonly logger: HayLogger;
  registerRoute(method: string, path: string, handler: RouteHandler): void;
  /** The instance's Express application. `load` gives Express and is called at most once. */
  app(load: () => unknown): HayExpressApp;
}

/** Who runs class-based plugins in this process. */
export interface ClassHost {
  /** Called by the constructor of `HayPlugin`, with what the plugin gave to `super`. */
  adopt(plugin: object, given: HayClassMetadata | undefined): ClassHosting;
  /** Called by `startPluginWorker`. */
  start(plugin: HayPluginClass): void | Promise<void>;
}

/** Whether a value is `HayPlugin` of any copy of this package, or a class that extends it. */
export function isHayPluginClass(value: unknown): value is HayPluginClass {
  return typeof value === "function" && Reflect.has(value, CLASS_BRAND);
}

/** Says who runs the class-based plugins of this process. */
export function installClassHost(host: ClassHost): void {
  Object.defineProperty(globalThis, HOST, { value: host, configurable: true });
}

/** Who runs the class-based plugins of this process: the program that loaded them, else the plugin alone. */
export function classHost(): ClassHost {
  const installed = Reflect.get(globalThis, HOST) as ClassHost | undefined;
  if (installed !== undefined) return installed;
  const require = createRequire(import.meta.url);
  const { standaloneHost } = require("../cjs/standalone.js") as { standaloneHost: ClassHost };
  installClassHost(standaloneHost);
  return standaloneHost;
}
