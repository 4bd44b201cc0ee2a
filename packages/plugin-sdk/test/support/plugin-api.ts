/** A host's Plugin API that a test plays: it answers as it is told, and keeps what it was asked. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { onTestFinished } from "vitest";

export interface Call {
  path: string;
  token: string | undefined;
  body: any;
}

/** Answers each call with a status and a JSON body until the test has ended. */
export async function playPluginApi(
  answer: (call: Call) => { status?: number; body: object },
): Promise<{ url: string; calls: Call[] }> {
  const calls: Call[] = [];
  const server = createServer((req, res) => {
    let text = "";
    req.on("data", (chunk: Buffer) => (text += chunk.toString()));
    req.on("end", () => {
      const call = {
        path: req.url ?? "",
        token: req.headers.authorization,
        body: JSON.parse(text),
      };
      calls.push(call);
      const { status = 200, body } = answer(call);
      res.statusCode = status;
      res.setHeader("content-type", "application/json");
      res.end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls };
}
