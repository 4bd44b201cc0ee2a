/**
 * For plugins with a tRPC router. tRPC itself is part of this module, and is loaded by nobody who does not import it.
 *
 * A router knows how to answer requests, so that whoever runs the plugin needs no tRPC of its own.
 */

import { initTRPC, TRPCError } from "@trpc/server";
import { fetchRequestHandler } from "@trpc/server/adapters/fetch";

import type { HayLogger } from "./types/logger.js";
import type { ProcedureMetadata } from "./types/metadata.js";

/** Who calls a procedure, as the host checked it. */
export interface HayTrpcCaller {
  /** A person's id; absent for a token that belongs to nobody. */
  userId?: string;
  /** What the caller may do. */
  scopes?: readonly string[];
  [key: string]: unknown;
}

/** What a procedure gets as `ctx`. */
export interface HayTrpcContext {
  /** Whose worker this is. */
  organizationId: string;
  /** The organization's settings by field name. */
  config: Readonly<Record<string, unknown>>;
  /** Who calls; `null` for nobody, which only public procedures allow. */
  caller: HayTrpcCaller | null;
  /** The worker's log. */
  logger: HayLogger;
}

/** How whoever runs the plugin calls a router. */
export interface HayTrpcEndpoint {
  readonly procedures: ProcedureMetadata[];
  /** Answers a request whose path, after `prefix`, is one or several procedures. */
  handle(request: Request, prefix: string, context: HayTrpcContext): Promise<Response>;
}

const ENDPOINT = Symbol.for("@hay/plugin-sdk/trpc-endpoint");

const t = initTRPC.context<HayTrpcContext>().create();

/** A procedure that anybody may call who names the organization. */
export const publicProcedure = t.procedure;

/** A procedure for callers that the host knows. */
export const authenticatedProcedure = t.procedure.use(({ ctx, next }) => {
  if (ctx.caller === null) {
    throw new TRPCError({ code: "UNAUTHORIZED", message: "this procedure needs a valid token" });
  }
  return next({ ctx: { ...ctx, caller: ctx.caller } });
});

/** Makes middleware for procedures. */
export const trpcMiddleware = t.middleware;

/** Makes a router. The plugin's module exports it as `router`. */
export const trpcRouter: typeof t.router = ((procedures: Parameters<typeof t.router>[0]) => {
  const router = t.router(procedures);
  Object.defineProperty(router, ENDPOINT, { value: endpointOf(router) });
  return router;
}) as typeof t.router;

export { TRPCError };

function endpointOf(router: ReturnType<typeof t.router>): HayTrpcEndpoint {
  return {
    get procedures() {
      const all = router._def.procedures as unknown as Record<
        string,
        { _def: { type: ProcedureMetadata["type"] } }
      >;
      return Object.entries(all).map(([path, { _def }]) => ({ path, type: _def.type }));
    },
    handle: (request, endpoint, context) =>
      fetchRequestHandler({
        router,
        req: request,
        endpoint,
        createContext: () => context,
        onError: ({ error, path }) => {
          if (error.code === "INTERNAL_SERVER_ERROR") {
            context.logger.error(`the procedure \`${path ?? "?"}\` failed`, error.cause ?? error);
          }
        },
      }),
  };
}
