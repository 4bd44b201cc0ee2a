/** Greets people. `config.greeting` says how. */
export default function plugin({ config, runtime }) {
  const { greeting = "Hello" } = config;

  return ({ server, capabilities }) => {
    const { kv, logger } = capabilities;

    server.registerTool(
      "hello",
      {
        title: "Hello",
        description: "Greets somebody, and says how often it did",
        inputSchema: {
          type: "object",
          properties: { name: { type: "string" } },
          required: ["name"],
        },
        outputSchema: {
          type: "object",
          properties: {
            message: { type: "string" },
            times: { type: "integer" },
            runtime: { type: "string" },
          },
          required: ["message", "times", "runtime"],
        },
      },
      async ({ name }) => {
        const times = Number((await kv.get(`greeted/${name}`)) ?? 0) + 1;
        await kv.set(`greeted/${name}`, String(times));
        logger.info("greeted", { name, times });
        const message = `${greeting}, ${name}!`;
        return {
          content: [{ type: "text", text: message }],
          structuredContent: { message, times, runtime },
        };
      },
    );
  };
}
