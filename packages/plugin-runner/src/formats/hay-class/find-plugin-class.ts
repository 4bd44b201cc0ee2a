import { type HayPluginClass, isHayPluginClass } from "@hay/plugin-sdk/host";
import { candidates } from "../../loader.js";
import { RunnerError } from "../../wire-error.js";

/** The class among the exports of an entry: the default one, else the only one. */
export function findPluginClass(namespace: unknown, entry: string): HayPluginClass {
  const defaults = candidates(namespace).filter(isHayPluginClass);
  if (defaults[0] !== undefined) return defaults[0];
  const named = new Set(
    candidates(namespace)
      .flatMap((value) =>
        typeof value === "object" && value !== null
          ? Object.values(value as Record<string, unknown>)
          : [],
      )
      .filter(isHayPluginClass)
      .filter((value) => !isBase(value)),
  );
  const [only] = named;
  if (only !== undefined && named.size === 1) return only;
  const message =
    named.size === 0
      ? `the entry \`${entry}\` neither exports nor starts a class that extends \`HayPlugin\``
      : `the entry \`${entry}\` exports ${named.size} classes that extend \`HayPlugin\`, and starts none`;
  throw new RunnerError("EntryError", message, "configuration", [
    {
      at: "entry",
      message,
      hint: "export the class as the default, or call `startPluginWorker` with it",
    },
  ]);
}

/** `HayPlugin` itself, handed on by an entry that exports everything that it imports. */
function isBase(value: HayPluginClass): boolean {
  return Object.getPrototypeOf(value) === Function.prototype;
}
