/** Handlers of a manifest's HTTP routes: files that export a function, behind the middleware that they name. */
import { loadExport } from "../../loader.js";
import { RunnerError } from "../../wire-error.js";

type Next = (error?: unknown) => void;
type Handler = (req: object, res: object, next: Next) => unknown;

/** A route's declaration, as far as it names code. */
export interface DeclaredHandler {
  root: string;
  /** Where the manifest has the route. */
  at: string;
  handler: unknown;
  middleware: unknown;
}

/**
 * Middleware by name that needs nothing here: the host demands the token before the worker is reached, and bodies are
 * parsed for every route.
 */
const KNOWN = ["auth", "json", "urlencoded"];

const HANDLER = {
  expected: "a function `(req, res)`",
  hint: "write `export default (req, res) => { … }`",
  accepts: (value: unknown): value is Handler =>
    typeof value === "function" && !/^class\b/.test(Function.prototype.toString.call(value)),
};

/** Loads a route's handler with its middleware in front. */
export async function loadRouteHandler(declared: DeclaredHandler): Promise<Handler> {
  const { root, at, handler, middleware } = declared;
  if (typeof handler !== "string") {
    throw problem(`${at}.handler`, "must be the path of a file");
  }
  const steps: Handler[] = [];
  const names: unknown[] = Array.isArray(middleware) ? middleware : [middleware ?? []].flat();
  for (const [index, name] of names.entries()) {
    const place = `${at}.middleware[${index}]`;
    if (typeof name === "string" && KNOWN.includes(name)) continue;
    if (typeof name !== "string" || !/[./]/.test(name)) {
      throw problem(
        place,
        `\`${String(name)}\` is not a middleware`,
        `use ${KNOWN.map((known) => `\`${known}\``).join(", ")}, or the path of a file`,
      );
    }
    steps.push(await loadExport({ root, file: name, role: "middleware", at: place }, HANDLER));
  }
  const own = await loadExport(
    { root, file: handler, role: "handler", at: `${at}.handler` },
    HANDLER,
  );
  return steps.length === 0 ? own : chain(steps, own);
}

/** Runs each step when the one before passes the request on. */
function chain(steps: readonly Handler[], last: Handler): Handler {
  return (req, res, next) => {
    const run = (position: number): unknown => {
      const step = steps[position];
      if (step === undefined) return last(req, res, next);
      return step(req, res, (error?: unknown) => {
        if (error !== undefined && error !== null) {
          next(error);
          return;
        }
        try {
          Promise.resolve(run(position + 1)).catch(next);
        } catch (thrown) {
          next(thrown);
        }
      });
    };
    return run(0);
  };
}

function problem(at: string, message: string, hint?: string): RunnerError {
  return new RunnerError("ManifestError", `${at}: ${message}`, "configuration", [
    hint === undefined ? { at, message } : { at, message, hint },
  ]);
}
