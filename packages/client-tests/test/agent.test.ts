/** What an agent can rely on, whichever official client it is built on. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { connect1, connect2, type Agent, type Connect, type Report } from "./agents.js";
import { startHost, type Organization, type TestHost } from "./host.js";

const HELLO = "hay-plugin-hello-tool";
const EVERYTHING = "hay-plugin-everything";

let host: TestHost;
/** Has both plugins. */
let one: Organization;
/** Has the first only. */
let two: Organization;

beforeAll(async () => {
  host = await startHost();
  one = await host.organization("One");
  two = await host.organization("Two");
  await Promise.all([one.enable(HELLO), one.enable(EVERYTHING), two.enable(HELLO)]);
});

afterAll(() => host.stop());

const clients: { name: string; connect: Connect }[] = [
  { name: "@modelcontextprotocol/sdk 1.x", connect: connect1 },
  { name: "@modelcontextprotocol/client 2.x", connect: connect2 },
];

describe.each(clients)("$name", ({ connect }) => {
  const agentOf = async ({ token }: Organization): Promise<Agent> => {
    const agent = await connect(host.endpoint, token);
    onTestFinished(() => agent.leave());
    return agent;
  };

  test("each organization sees and calls its own tools only", async () => {
    const [mine, theirs] = await Promise.all([agentOf(one), agentOf(two)]);
    expect(mine.server).toBe("hayloft");
    expect(await mine.tools()).toEqual(
      expect.arrayContaining(["everything__echo", "hello_tool__hello"]),
    );
    expect(await theirs.tools()).toEqual(["hello_tool__hello"]);

    for (const agent of [mine, theirs]) {
      expect(await agent.call("hello_tool__hello", { name: "you" })).toMatchObject({
        content: [{ type: "text", text: "Hello, you!" }],
      });
    }
    expect(await mine.call("everything__echo", { message: "a" })).toMatchObject({
      content: [{ type: "text", text: "Echo: a" }],
    });
    await expect(theirs.call("everything__echo", { message: "a" })).rejects.toMatchObject({
      code: -32602,
    });
  });

  test("arguments that do not fit are an error that names the place", async () => {
    const agent = await agentOf(two);
    await expect(agent.call("hello_tool__hello", { name: 7 })).rejects.toMatchObject({
      code: -32602,
      data: { problems: [{ at: "arguments.name" }] },
    });
  });

  test("progress is reported while a call runs", async () => {
    const agent = await agentOf(one);
    const reports: Report[] = [];
    const args = { duration: 0.1, steps: 3 };
    const result = await agent.call(
      "everything__trigger-long-running-operation",
      args,
      ({ progress, total }) => reports.push({ progress, total }),
    );
    expect(result.isError ?? false).toBe(false);
    expect(reports).toEqual([1, 2, 3].map((progress) => ({ progress, total: 3 })));
  });

  test("a plugin that is switched on announces its tools, to its organization only", async () => {
    const [late, idle] = await Promise.all([host.organization("Late"), host.organization("Idle")]);
    const [agent, bystander] = await Promise.all([agentOf(late), agentOf(idle)]);
    expect(await agent.tools()).toEqual([]);
    const told = Promise.withResolvers<undefined>();
    agent.onToolsChanged(() => told.resolve(undefined));
    let disturbed = 0;
    bystander.onToolsChanged(() => (disturbed += 1));
    await Promise.all([agent.listening, bystander.listening]);
    await late.enable(HELLO);
    await told.promise;
    expect(await agent.tools()).toEqual(["hello_tool__hello"]);
    expect(await bystander.tools()).toEqual([]);
    expect(disturbed).toBe(0);
  });

  test("a wrong token opens nothing", async () => {
    const refused = connect(host.endpoint, `${one.token.slice(0, -4)}0000`);
    await expect(refused).rejects.toThrow(/401|unauthorized/i);
  });
});
