import type { CapabilityName } from "./types.js";

const BRAND = Symbol.for("@hatago/core/capability-error");

/** A plugin reached for something that it did not declare, or that does not exist. */
export class CapabilityError extends Error {
  override readonly name = "CapabilityError";
  /** What it reached for. */
  readonly capability: CapabilityName | (string & {});
  /** What its author can do. */
  readonly hint: string;

  constructor(capability: string, message: string, hint: string) {
    super(message);
    this.capability = capability;
    this.hint = hint;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** Two copies of this package may meet, so the brand decides and not the prototype. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && BRAND in value;
  }
}
