/** The plugin formats that the runner can host: one line each. */
import { HayPackage } from "./formats/hay-package.js";
import type { HostedPlugin, RunnerServices } from "./hosted-plugin.js";
import { RunnerError } from "./wire-error.js";

const FORMATS: Readonly<Record<string, new (services: RunnerServices) => HostedPlugin>> = {
  "hay-package": HayPackage,
};

export function createHostedPlugin(services: RunnerServices): HostedPlugin {
  const { format } = services.plugin;
  const Format = Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
  if (Format === undefined) {
    throw new RunnerError(
      "UnsupportedFormatError",
      `the plugin format \`${format}\` is not supported by this runner`,
      "unsupported",
    );
  }
  return new Format(services);
}
