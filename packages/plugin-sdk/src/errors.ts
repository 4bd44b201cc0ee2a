/**
 * The errors that the SDK throws. A plugin and its host may carry two copies of this package, so `instanceof` looks at
 * a brand from the global symbol registry instead of the prototype.
 */

import type { Problem } from "./types/problem.js";

const BRAND = Symbol.for("@hay/plugin-sdk/error");

/** A plugin's definition or registrations are wrong. Carries everything that is, not only the first thing. */
export class PluginDefinitionError extends Error {
  /** All that is wrong. */
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(summary(problems));
    this.name = "PluginDefinitionError";
    this.problems = problems;
    brand(this, "PluginDefinitionError");
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return hasBrand(this, PluginDefinitionError, "PluginDefinitionError", value);
  }
}

/** A configuration value that the plugin asked for does not exist. */
export class ConfigMissingError extends Error {
  /** The field's name. */
  readonly field: string;
  /** What people read beside the field. */
  readonly label: string | undefined;

  constructor(field: string, label: string | undefined, message: string) {
    super(message);
    this.name = "ConfigMissingError";
    this.field = field;
    this.label = label;
    brand(this, "ConfigMissingError");
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return hasBrand(this, ConfigMissingError, "ConfigMissingError", value);
  }
}

/** The text of an environment variable does not fit the configuration field that it stands in for. */
export class ConfigValueError extends Error {
  /** The field's name. */
  readonly field: string;
  /** The environment variable. */
  readonly env: string;

  constructor(field: string, env: string, message: string) {
    super(message);
    this.name = "ConfigValueError";
    this.field = field;
    this.env = env;
    brand(this, "ConfigValueError");
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return hasBrand(this, ConfigValueError, "ConfigValueError", value);
  }
}

function summary(problems: readonly Problem[]): string {
  const lines = problems.map(({ at, message, hint }) =>
    hint === undefined ? `${at}: ${message}` : `${at}: ${message} (${hint})`,
  );
  return lines.length === 1
    ? `the plugin is not valid: ${lines.join()}`
    : [`the plugin is not valid, ${lines.length} problems:`, ...lines].join("\n  ");
}

function brand(error: Error, name: string): void {
  Object.defineProperty(error, BRAND, { value: name });
}

// Asked of a subclass that a plugin derived, only the prototype can answer.
function hasBrand(asked: unknown, own: unknown, name: string, value: unknown): boolean {
  if (asked !== own) {
    return typeof asked === "function" && Function.prototype[Symbol.hasInstance].call(asked, value);
  }
  return typeof value === "object" && value !== null && Reflect.get(value, BRAND) === name;
}
