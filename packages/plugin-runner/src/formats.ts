/**
 * The plugin formats that the runner can host: one line each.
 *
 * The canonical format is part of the program. The others are loaded when a plugin is in one.
 */
import { HayPackage } from "./formats/hay-package.js";
import type { HostedPlugin, RunnerServices } from "./hosted-plugin.js";
import { RunnerError } from "./wire-error.js";

type Make = (services: RunnerServices) => HostedPlugin | Promise<HostedPlugin>;

const FORMATS: Readonly<Record<string, Make>> = {
  "hay-package": (services) => new HayPackage(services),
  "hay-class": async (services) => new (await import("./formats/hay-class.js")).HayClass(services),
  "hay-manifest": async (services) =>
    new (await import("./formats/hay-manifest.js")).HayManifest(services),
  hatago: async (services) => new (await import("./formats/hatago.js")).Hatago(services),
};

export function createHostedPlugin(services: RunnerServices): HostedPlugin | Promise<HostedPlugin> {
  const { format } = services.plugin;
  const make = Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
  if (make === undefined) {
    throw new RunnerError(
      "UnsupportedFormatError",
      `the plugin format \`${format}\` is not supported by this runner`,
      "unsupported",
    );
  }
  return make(services);
}
