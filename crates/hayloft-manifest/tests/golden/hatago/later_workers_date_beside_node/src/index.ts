import type { HatagoPlugin, PluginContext } from "@hatago/core";

export default function plugin(context: PluginContext): HatagoPlugin {
  return async ({ server, capabilities }) => {
    // Plugin implementation
    const { logger, fetch } = capabilities;

    server.registerTool(
      "my.tool",
      {
        title: "My Tool",
        description: "Example tool",
        inputSchema: {},
      },
      async (args) => {
        logger.info("Tool called", { args });
        return { content: [{ type: "text", text: "Hello" }] };
      },
    );
  };
}
