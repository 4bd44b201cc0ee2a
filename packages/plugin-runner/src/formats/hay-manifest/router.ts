/**
 * A plugin's tRPC router. It answers with the tRPC that it was made with: the SDK's, or the plugin's own.
 */
import { createRequire } from "node:module";
import type { HayLogger, ProcedureMetadata } from "@hay/plugin-sdk/host";
import { candidates, loadNamespace, resolveFile } from "../../loader.js";
import type { ProcedureAnswer, ProcedureMessage } from "../../protocol.js";
import { RunnerError } from "../../wire-error.js";

/** What procedures get as `ctx`. */
export interface ProcedureContext {
  organizationId: string;
  config: Readonly<Record<string, unknown>>;
  caller: ProcedureMessage["caller"];
  logger: HayLogger;
}

export interface RouterEndpoint {
  readonly procedures: ProcedureMetadata[];
  call(call: ProcedureMessage, context: ProcedureContext): Promise<ProcedureAnswer>;
}

/** What a router made by the SDK brings along, as the SDK describes it. */
interface SdkEndpoint {
  readonly procedures: ProcedureMetadata[];
  handle(request: Request, prefix: string, context: ProcedureContext): Promise<Response>;
}

interface Router {
  _def: { procedures: Record<string, { _def: { type: ProcedureMetadata["type"] } }> };
}

interface FetchAdapter {
  fetchRequestHandler(options: {
    router: Router;
    req: Request;
    endpoint: string;
    createContext: () => ProcedureContext;
  }): Promise<Response>;
}

const ENDPOINT = Symbol.for("@hay/plugin-sdk/trpc-endpoint");
const PREFIX = "/trpc";
const AT = "trpcRouter";

/** Loads the module that exports the router, as `router`, `appRouter` or its default. */
export async function loadRouter(root: string, file: string): Promise<RouterEndpoint> {
  const module = { root, file, role: "tRPC router", at: AT };
  const namespace = await loadNamespace(module);
  const router = candidates(namespace)
    .flatMap((value) => [value, propertyOf(value, "router"), propertyOf(value, "appRouter")])
    .find(isRouter);
  if (router === undefined) {
    throw problem(
      `the tRPC router \`${file}\` exports no router`,
      "write `export const router = trpcRouter({ … })` with `trpcRouter` of `@hay/plugin-sdk/trpc`",
    );
  }
  const endpoint =
    (Reflect.get(router, ENDPOINT) as SdkEndpoint | undefined) ??
    endpointOf(router, resolveFile(module), file);
  return {
    procedures: endpoint.procedures,
    call: (call, context) => answer(endpoint, call, context),
  };
}

async function answer(
  endpoint: SdkEndpoint,
  call: ProcedureMessage,
  context: ProcedureContext,
): Promise<ProcedureAnswer> {
  const { path, kind, input } = call;
  const url = new URL(`http://worker${PREFIX}/${encodeURIComponent(path)}`);
  const text = input === undefined ? undefined : JSON.stringify(input);
  if (kind === "query" && text !== undefined) url.searchParams.set("input", text);
  const request = new Request(
    url,
    kind === "query"
      ? {}
      : {
          method: "POST",
          headers: { "content-type": "application/json" },
          ...(text === undefined ? {} : { body: text }),
        },
  );
  const response = await endpoint.handle(request, PREFIX, context);
  return { status: response.status, body: await response.json() };
}

/** The endpoint of a router that the plugin made with a tRPC of its own. */
function endpointOf(router: Router, path: string, file: string): SdkEndpoint {
  let adapter: FetchAdapter;
  try {
    adapter = createRequire(path)("@trpc/server/adapters/fetch") as FetchAdapter;
  } catch {
    throw problem(
      `the tRPC router \`${file}\` was made with a tRPC that cannot be found from there`,
      "make it by `trpcRouter` of `@hay/plugin-sdk/trpc`, or add `@trpc/server` to the dependencies",
    );
  }
  return {
    procedures: Object.entries(router._def.procedures).map(([name, { _def }]) => ({
      path: name,
      type: _def.type,
    })),
    handle: (req, endpoint, context) =>
      adapter.fetchRequestHandler({ router, req, endpoint, createContext: () => context }),
  };
}

function isRouter(value: unknown): value is Router {
  const definition = propertyOf(value, "_def");
  return typeof propertyOf(definition, "procedures") === "object";
}

function propertyOf(value: unknown, key: string): unknown {
  return (typeof value === "object" && value !== null) || typeof value === "function"
    ? (Reflect.get(value, key) as unknown)
    : undefined;
}

function problem(message: string, hint: string): RunnerError {
  return new RunnerError("ManifestError", message, "configuration", [{ at: AT, message, hint }]);
}
