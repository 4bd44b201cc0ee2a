/** What an agent can rely on beside tools: resources, templates and prompts of every kind of plugin, at one endpoint. */
import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  PromptListChangedNotificationSchema,
  ResourceListChangedNotificationSchema,
  type CallToolResult,
} from "@modelcontextprotocol/sdk/types.js";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";

import { startHost, type Organization, type TestHost } from "./host.js";

const EVERYTHING = "hay-plugin-everything";
const HATAGO = "hatago-notes";
const INSIDE = "hay-plugin-inside";

const NOTES = `
export default function plugin() {
  return ({ server }) => {
    server.registerResource("today", "notes://today", { mimeType: "text/plain" }, async (uri) => ({
      contents: [{ uri: String(uri), text: "buy hay" }],
    }));
    server.registerResource("note", "notes://{id}", {}, async (uri, { id }) => ({
      contents: [{ uri: String(uri), text: "note " + id }],
    }));
    server.registerPrompt("sum-up", { description: "Sums up" }, async () => ({
      messages: [{ role: "user", content: { type: "text", text: "sum it up" } }],
    }));
    const link = { type: "resource_link", uri: "notes://seven", name: "seven" };
    const inside = { type: "resource", resource: { uri: "notes://today", text: "buy hay" } };
    server.registerTool("linked", {}, async () => ({
      content: [{ type: "text", text: "see notes://seven" }, link, inside],
      structuredContent: { uri: "notes://seven" },
    }));
    server.registerPrompt("linking", {}, async () => ({
      messages: [{ role: "user", content: inside }, { role: "user", content: link }],
    }));
    server.registerTool("more", {}, async () => {
      server.registerPrompt("another", {}, async () => ({ messages: [] }));
      server.registerResource("later", "notes://later", {}, async (uri) => ({ contents: [{ uri: String(uri), text: "x" }] }));
      return { content: [] };
    });
  };
}
`;

const SERVER = `
import { defineHayPlugin } from "@hay/plugin-sdk";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
export default defineHayPlugin(() => ({
  name: "Inside",
  async onStart({ org, mcp }) {
    await mcp.startLocal("main", () => {
      const server = new McpServer({ name: "inside", version: "1.0.0" });
      // The same address as another plugin's, and another one's name.
      server.registerResource("today", "notes://today", {}, (uri) => ({ contents: [{ uri: uri.href, text: org.id }] }));
      server.registerPrompt("sum-up", {}, () => ({ messages: [{ role: "user", content: { type: "text", text: "inside" } }] }));
      return server;
    });
  },
}));
`;

const repository = (path: string): string =>
  fileURLToPath(new URL(`../../../${path}`, import.meta.url));

let folder: string;
let host: TestHost;
let one: Organization;
let two: Organization;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hayloft-items-"));
  await chmod(folder, 0o755);
  const write = async (path: string, content: string | object) => {
    const file = join(folder, path);
    await mkdir(join(file, ".."), { recursive: true });
    await writeFile(file, typeof content === "string" ? content : JSON.stringify(content));
  };
  await write(`${HATAGO}/hatago.plugin.json`, {
    name: HATAGO,
    version: "1.0.0",
    description: "Notes",
    engines: { hatago: "^1.0.0" },
    capabilities: ["logger"],
    entry: { node: "./index.mjs", default: "./index.mjs" },
  });
  await write(`${HATAGO}/index.mjs`, NOTES);
  await write(`${INSIDE}/package.json`, {
    name: INSIDE,
    version: "1.0.0",
    type: "module",
    main: "index.js",
    "hay-plugin": {
      entry: "./index.js",
      displayName: "Inside",
      category: "tool",
      capabilities: ["mcp"],
      env: [],
    },
  });
  await write(`${INSIDE}/index.js`, SERVER);
  const modules = repository("plugins/examples/everything/node_modules");
  await cp(modules, join(folder, INSIDE, "node_modules"), {
    recursive: true,
    verbatimSymlinks: true,
  });
  await symlink(repository("plugins/examples/everything"), join(folder, EVERYTHING));
  host = await startHost(folder);
  [one, two] = await Promise.all([host.organization("One"), host.organization("Two")]);
  await Promise.all([
    one.enable(EVERYTHING),
    one.enable(HATAGO),
    one.enable(INSIDE),
    two.enable(INSIDE),
  ]);
});

afterAll(async () => {
  await host.stop();
  await rm(folder, { recursive: true });
});

const connect = async ({ token }: Organization): Promise<Client> => {
  const client = new Client({ name: "client-tests", version: "1.0.0" });
  const listening = Promise.withResolvers<undefined>();
  await client.connect(
    new StreamableHTTPClientTransport(host.endpoint, {
      requestInit: { headers: { authorization: `Bearer ${token}` } },
      async fetch(url, init) {
        const answer = await fetch(url, init);
        if (init?.method === "GET" && answer.ok) listening.resolve(undefined);
        return answer;
      },
    }),
  );
  onTestFinished(() => client.close());
  await listening.promise;
  return client;
};

test("resources of all plugins are listed and read under addresses of their own", async () => {
  const client = await connect(one);
  expect(client.getServerCapabilities()).toMatchObject({
    tools: { listChanged: true },
    resources: { listChanged: true },
    prompts: { listChanged: true },
  });
  const { resources } = await client.listResources();
  const addresses = resources.map(({ uri }) => uri);
  const [notes, inside] = [HATAGO, INSIDE].map((plugin) =>
    addresses.find(
      (uri) => uri.startsWith(`hayloft://${plugin}/`) && uri.endsWith("/notes://today"),
    ),
  );
  expect(new Set(addresses).size).toBe(addresses.length);
  const everything = addresses.filter((uri) => uri.startsWith(`hayloft://${EVERYTHING}/`));
  expect(everything.length).toBeGreaterThan(0);

  const read = async (uri = "") => (await client.readResource({ uri })).contents;
  expect(await read(notes)).toEqual([{ uri: notes, text: "buy hay" }]);
  expect(await read(inside)).toEqual([{ uri: inside, text: one.id }]);
  expect((await read(everything[0]))[0]).toMatchObject({ uri: everything[0] });

  const { resourceTemplates } = await client.listResourceTemplates();
  const template = resourceTemplates.find(({ uriTemplate }) => uriTemplate.includes(HATAGO));
  const filled = template?.uriTemplate.replace("{id}", "seven");
  expect(await read(filled)).toEqual([{ uri: filled, text: "note seven" }]);

  for (const uri of ["notes://today", "hayloft://hay-plugin-none/main/notes://today"]) {
    await expect(client.readResource({ uri })).rejects.toMatchObject({ code: -32002 });
  }
});

test("prompts of all plugins have names like tools", async () => {
  const client = await connect(one);
  const names = (await client.listPrompts()).prompts.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(["hatago_notes__sum-up", "inside__sum-up"]));
  expect(names.some((name) => name.startsWith("everything__"))).toBe(true);
  expect(await client.getPrompt({ name: "hatago_notes__sum-up" })).toMatchObject({
    messages: [{ role: "user", content: { type: "text", text: "sum it up" } }],
  });
  expect(await client.getPrompt({ name: "inside__sum-up" })).toMatchObject({
    messages: [{ content: { text: "inside" } }],
  });
  const args = names.find((name) => name.startsWith("everything__args"));
  expect(await client.getPrompt({ name: args ?? "", arguments: { city: "Husum" } })).toMatchObject({
    messages: [{ content: { text: expect.stringContaining("Husum") } }],
  });
  await expect(client.getPrompt({ name: "sum-up" })).rejects.toMatchObject({ code: -32602 });
});

test("what results lead to can be read", async () => {
  const client = await connect(one);
  const { content, structuredContent } = (await client.callTool({
    name: "hatago_notes__linked",
    arguments: {},
  })) as CallToolResult;
  const [text, link, inside] = content as any[];
  expect(text).toEqual({ type: "text", text: "see notes://seven" });
  expect(structuredContent).toEqual({ uri: "notes://seven" });
  expect(link.uri).toMatch(new RegExp(`^hayloft://${HATAGO}/[^/]+/notes://seven$`));
  const read = async (uri: string) => (await client.readResource({ uri })).contents;
  expect(await read(link.uri)).toEqual([{ uri: link.uri, text: "note seven" }]);
  expect(await read(inside.resource.uri)).toEqual([inside.resource]);

  const { messages } = await client.getPrompt({ name: "hatago_notes__linking" });
  expect(messages.map(({ content }) => content)).toEqual([inside, link]);

  // The same by real servers, of whatever kind: each resource that a result has can be read under its address.
  const { tools } = await client.listTools();
  const names = tools
    .map(({ name }) => name)
    .filter((name) => name.startsWith("everything__get-resource-"));
  expect(names.length).toBeGreaterThan(0);
  const addresses: string[] = [];
  for (const name of names) {
    const result = (await client.callTool({ name, arguments: {} })) as CallToolResult;
    for (const block of result.content) {
      if (block.type === "resource") addresses.push(block.resource.uri);
      if (block.type === "resource_link") addresses.push(block.uri);
    }
  }
  expect(addresses.length).toBeGreaterThan(0);
  for (const uri of addresses) {
    expect(uri).toMatch(/^hayloft:/);
    expect((await read(uri))[0]).toMatchObject({ uri });
  }
});

test("another organization sees its own things only", async () => {
  const [mine, theirs] = await Promise.all([connect(one), connect(two)]);
  const { resources } = await theirs.listResources();
  expect(resources.map(({ uri }) => uri)).toEqual([`hayloft://${INSIDE}/main/notes://today`]);
  const uri = resources[0]?.uri ?? "";
  const text = async (client: Client) => (await client.readResource({ uri })).contents;
  expect(await text(theirs)).toMatchObject([{ text: two.id }]);
  expect(await text(mine)).toMatchObject([{ text: one.id }]);
  const notes = (await mine.listResources()).resources.find(({ uri }) => uri.includes(HATAGO));
  await expect(theirs.readResource({ uri: notes?.uri ?? "" })).rejects.toMatchObject({
    code: -32002,
  });
});

test("what a plugin adds while it runs is told", async () => {
  const client = await connect(one);
  const told = {
    prompts: Promise.withResolvers<undefined>(),
    resources: Promise.withResolvers<undefined>(),
  };
  client.setNotificationHandler(PromptListChangedNotificationSchema, () =>
    told.prompts.resolve(undefined),
  );
  client.setNotificationHandler(ResourceListChangedNotificationSchema, () =>
    told.resources.resolve(undefined),
  );
  await client.callTool({ name: "hatago_notes__more", arguments: {} });
  await Promise.all([told.prompts.promise, told.resources.promise]);
  const names = (await client.listPrompts()).prompts.map(({ name }) => name);
  expect(names).toContain("hatago_notes__another");
});
