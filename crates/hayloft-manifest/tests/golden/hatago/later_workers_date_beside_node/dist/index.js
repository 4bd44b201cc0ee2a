export default function plugin(context) {
    return async ({ server, capabilities }) => {
        // Plugin implementation
        const { logger, fetch } = capabilities;
        server.registerTool("my.tool", {
            title: "My Tool",
            description: "Example tool",
            inputSchema: {},
        }, async (args) => {
            logger.info("Tool called", { args });
            return { content: [{ type: "text", text: "Hello" }] };
        });
    };
}
