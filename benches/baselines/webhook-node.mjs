// The webhook on a bare `node:http` server.
import { createServer } from "node:http";

import { webhookAnswer } from "./webhook-answer.mjs";

const server = createServer((req, res) => {
  const chunks = [];
  req.on("data", (chunk) => chunks.push(chunk));
  req.on("end", () => {
    const { status, answer } = webhookAnswer(req.headers["x-signature"], Buffer.concat(chunks));
    const text = JSON.stringify(answer);
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
    };
    res.writeHead(status, headers).end(text);
  });
});
// Callers keep their connections while others take their turn.
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(
    `${JSON.stringify({ address: `127.0.0.1:${server.address().port}`, path: "/webhook" })}\n`,
  );
});
