// The webhook as a plugin's route.
import { defineHayPlugin } from "@hay/plugin-sdk";

import { webhookAnswer } from "./webhook-answer.mjs";

export default defineHayPlugin(({ register }) => ({
  name: "Bench webhook",
  onInitialize() {
    register.route("POST", "/webhook", (req, res) => {
      const { status, answer } = webhookAnswer(req.get("x-signature"), Buffer.from(req.rawBody));
      res.status(status).json(answer);
    });
  },
}));
