// The webhook on Express 5, with the middleware that a plugin's routes need: raw bytes kept beside parsed JSON.
import express from "express";

import { webhookAnswer } from "./webhook-answer.mjs";

const app = express();
app.use(express.json({ verify: (req, _res, bytes) => (req.rawBody = bytes) }));
app.post("/webhook", (req, res) => {
  const { status, answer } = webhookAnswer(req.get("x-signature"), req.rawBody);
  res.status(status).json(answer);
});
const server = app.listen(0, "127.0.0.1", () => {
  process.stdout.write(
    `${JSON.stringify({ address: `127.0.0.1:${server.address().port}`, path: "/webhook" })}\n`,
  );
});
// Callers keep their connections while others take their turn.
server.keepAliveTimeout = 0;
