import type { Problem } from "../types/problem.js";

/** Collects what is wrong, so that an author reads all of it at once. */
export class Problems {
  readonly list: Problem[] = [];

  /** Adds one. */
  add(at: string, message: string, hint?: string): void {
    this.list.push(hint === undefined ? { at, message } : { at, message, hint });
  }

  /** How many there are; for asking later whether something added one. */
  get count(): number {
    return this.list.length;
  }
}
