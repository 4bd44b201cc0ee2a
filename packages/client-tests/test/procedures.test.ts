/** What a program can rely on that calls a plugin's own router with tRPC's official client. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createTRPCClient, httpBatchLink, httpLink, TRPCClientError } from "@trpc/client";
import { initTRPC } from "@trpc/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { startHost, type Organization, type TestHost } from "./host.js";

const PLUGIN = "hay-plugin-my-plugin";

/** The plugin's router as a program would import its type. The plugin below is this one, in JavaScript. */
const t = initTRPC.create();
const text = (value: unknown): string => String(value);
const plugins = t.router({
  myPlugin: t.router({
    myEndpoint: t.procedure
      .input(text)
      .query(({ input }): { said: string; by: boolean } => ({ said: input, by: false })),
    nothing: t.procedure.query((): null => null),
    orders: t.router({
      create: t.procedure
        .input((value: unknown) => value as { n: number })
        .mutation(({ input }): { made: number } => ({ made: input.n })),
    }),
    full: t.procedure.query((): string => ""),
  }),
});
const _app = t.router({ plugins });
type App = typeof _app;

const MANIFEST = {
  id: PLUGIN,
  name: "My plugin",
  description: "A router",
  author: "Tests",
  version: "1.0.0",
  type: ["workflow"],
  entry: "./dist/index.js",
  capabilities: {},
  trpcRouter: "./dist/router.mjs",
  autoActivate: true,
};

const ROUTER = `
import { authenticatedProcedure, publicProcedure, TRPCError, trpcRouter } from "@hay/plugin-sdk/trpc";

export const router = trpcRouter({
  myEndpoint: publicProcedure
    .input((value) => { if (typeof value !== "string") throw new Error("not a text"); return value; })
    .query(({ input, ctx }) => ({ said: input, by: ctx.caller !== null })),
  nothing: publicProcedure.query(() => null),
  orders: trpcRouter({
    create: authenticatedProcedure.input((value) => value).mutation(({ input }) => ({ made: input.n })),
  }),
  full: publicProcedure.query(() => { throw new TRPCError({ code: "TOO_MANY_REQUESTS", message: "full" }); }),
});
`;

let folder: string;
let host: TestHost;
let one: Organization;
let two: Organization;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hayloft-router-"));
  await chmod(folder, 0o755);
  const dist = join(folder, PLUGIN, "dist");
  await mkdir(dist, { recursive: true });
  await writeFile(join(folder, PLUGIN, "manifest.json"), JSON.stringify(MANIFEST));
  await writeFile(join(dist, "index.js"), "");
  await writeFile(join(dist, "router.mjs"), ROUTER);
  host = await startHost(folder);
  [one, two] = await Promise.all([host.organization("One"), host.organization("Two")]);
  await one.enable(PLUGIN);
});

afterAll(async () => {
  await host.stop();
  await rm(folder, { recursive: true });
});

describe.each(["httpLink", "httpBatchLink"] as const)("%s", (kind) => {
  /** A client, and how many requests it sent. */
  const client = (headers: Record<string, string>) => {
    const sent: string[] = [];
    const options = {
      url: new URL("/v1", host.address),
      headers,
      fetch: (url: unknown, init?: unknown) => {
        sent.push(String(url));
        return fetch(url as string, init as RequestInit);
      },
    };
    const link = kind === "httpLink" ? httpLink<App>(options) : httpBatchLink<App>(options);
    return { sent, api: createTRPCClient<App>({ links: [link] }).plugins.myPlugin };
  };
  const named = () => ({ "x-organization-id": one.id });
  const bearer = ({ token }: Organization) => ({ authorization: `Bearer ${token}` });
  const refusal = (code: string, httpStatus: number, path: string) => ({
    data: { code, httpStatus, path: `plugins.myPlugin.${path}` },
  });

  test("a public procedure answers whoever names the organization", async () => {
    const { api } = client(named());
    expect(await api.myEndpoint.query("Grüße & ?")).toEqual({ said: "Grüße & ?", by: false });
    expect(await api.nothing.query()).toBeNull();
    const { api: mine } = client(bearer(one));
    expect(await mine.myEndpoint.query("a")).toEqual({ said: "a", by: true });
  });

  test("calls at once answer in order, each with its own failure", async () => {
    const { api, sent } = client(named());
    const [first, second, third] = await Promise.allSettled([
      api.myEndpoint.query("a"),
      api.full.query(),
      api.myEndpoint.query("b"),
    ]);
    expect(first).toMatchObject({ value: { said: "a" } });
    expect(second).toMatchObject({
      reason: { message: "full", ...refusal("TOO_MANY_REQUESTS", 429, "full") },
    });
    expect(third).toMatchObject({ value: { said: "b" } });
    expect(sent).toHaveLength(kind === "httpLink" ? 3 : 1);
  });

  test("an authenticated procedure answers a token of the organization and nobody else", async () => {
    expect(await client(bearer(one)).api.orders.create.mutate({ n: 7 })).toEqual({ made: 7 });
    for (const headers of [named(), { ...named(), ...bearer(two) }]) {
      const refused = client(headers).api.orders.create.mutate({ n: 7 });
      await expect(refused).rejects.toMatchObject(refusal("UNAUTHORIZED", 401, "orders.create"));
      await expect(refused).rejects.toBeInstanceOf(TRPCClientError);
    }
  });

  test("a wrong input, a missing organization and a foreign one are told apart", async () => {
    const wrong = client(named()).api.myEndpoint.query(7 as never);
    await expect(wrong).rejects.toMatchObject(refusal("BAD_REQUEST", 400, "myEndpoint"));
    const unnamed = client({}).api.nothing.query();
    await expect(unnamed).rejects.toMatchObject(refusal("BAD_REQUEST", 400, "nothing"));
    const foreign = client(bearer(two)).api.nothing.query();
    await expect(foreign).rejects.toMatchObject(refusal("NOT_FOUND", 404, "nothing"));
  });
});
