/** Something wrong with a plugin's components, at a place that its author can open. */
export interface Problem {
  /** Path below the plugin's folder, and where it is known `:LINE:COLUMN`, both from 1. */
  at: string;
  message: string;
}

/** All that is wrong with some components. */
export class ComponentsError extends Error {
  override name = "ComponentsError";

  constructor(readonly problems: readonly Problem[]) {
    super(problems.map(({ at, message }) => `${at}: ${message}`).join("\n"));
  }
}

/** A place in a file; `line` counts from 1, `column` from 0. */
export function place(path: string, line?: number, column?: number): string {
  return line === undefined ? path : `${path}:${line}:${(column ?? 0) + 1}`;
}
