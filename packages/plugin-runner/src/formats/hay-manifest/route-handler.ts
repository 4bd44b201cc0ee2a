/** Handlers of a manifest's HTTP routes: files that export a function. */
import { loadExport } from "../../loader.js";
import { RunnerError } from "../../wire-error.js";

type Handler = (req: object, res: object) => unknown;

/** A route's declaration, as far as it names code. */
export interface DeclaredHandler {
  root: string;
  /** Where the manifest has the route. */
  at: string;
  handler: unknown;
  middleware: unknown;
}

/** The only middleware: the host demands the organization's token before the worker is reached. */
const AUTH = "auth";

const HANDLER = {
  expected: "a function `(req, res)`",
  hint: "write `export default (req, res) => { … }`",
  accepts: (value: unknown): value is Handler =>
    typeof value === "function" && !/^class\b/.test(Function.prototype.toString.call(value)),
};

/** Loads a route's handler. */
export async function loadRouteHandler(declared: DeclaredHandler): Promise<Handler> {
  const { root, at, handler, middleware } = declared;
  if (typeof handler !== "string") throw problem(`${at}.handler`, "must be the path of a file");
  const names: unknown[] = Array.isArray(middleware) ? middleware : [middleware ?? []].flat();
  // Left out, an unknown one would open what its author wants closed.
  for (const [index, name] of names.entries()) {
    if (name === AUTH) continue;
    throw problem(
      `${at}.middleware[${index}]`,
      `\`${String(name)}\` is not a middleware`,
      "the only one is `auth`: do anything else in the handler",
    );
  }
  return loadExport({ root, file: handler, role: "handler", at: `${at}.handler` }, HANDLER);
}

function problem(at: string, message: string, hint?: string): RunnerError {
  return new RunnerError("ManifestError", `${at}: ${message}`, "configuration", [
    hint === undefined ? { at, message } : { at, message, hint },
  ]);
}
