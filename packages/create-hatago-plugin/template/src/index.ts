import type { HatagoPlugin, PluginContext } from "@hatago/core";

const inputSchema = {
  type: "object",
  properties: { name: { type: "string", description: "Whom to greet" } },
  required: ["name"],
};

/** Says hello; `greeting` of the configuration says how. */
export default function plugin(context: PluginContext): HatagoPlugin {
  const { greeting = "Hello" } = context.config;

  return ({ server, capabilities }) => {
    const { logger } = capabilities;
    server.registerTool(
      "greet",
      { title: "Greet", description: "Greets somebody by name.", inputSchema },
      ({ name }: { name: string }) => {
        logger.info("greeted", { name });
        return { content: [{ type: "text", text: `${String(greeting)}, ${name}!` }] };
      },
    );
  };
}
