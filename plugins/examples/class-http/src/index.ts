import { type HayRequest, type HayResponse, HayPlugin, startPluginWorker } from "@hay/plugin-sdk";
import tools from "./tools.json";

/** A plugin as a class: everything is an organization's own, from the constructor on. */
export class SimpleHttpTestPlugin extends HayPlugin {
  private requests = 0;

  constructor() {
    super({
      id: "simple-http-test",
      name: "Simple HTTP test",
      version: "1.0.0",
      description: "Answers HTTP requests and one tool",
      author: "Hayloft",
      category: "utility",
      capabilities: ["routes", "mcp"],
      config: {
        greeting: {
          type: "string",
          label: "Greeting",
          description: "How people are greeted",
          default: "Hello",
          envVar: "SIMPLE_HTTP_GREETING",
        },
      },
    });
  }

  protected async onInitialize() {
    this.registerRoute("GET", "/hello", this.hello.bind(this));
    this.registerRoute("POST", "/echo", this.echo.bind(this));
    this.log("initialized");
  }

  protected async onConfigUpdate(newConfig: { greeting: string }) {
    this.log(`the greeting is now ${newConfig.greeting}`);
  }

  protected async onDisable() {
    this.log(`answered ${this.requests} requests`);
  }

  protected async registerMCP() {
    await this.sdk.mcp.registerLocalMCP({
      serverPath: "./mcp",
      startCommand: "node index.js",
      tools,
    });
  }

  private hello(req: HayRequest, res: HayResponse) {
    this.requests += 1;
    const { name = "world" } = req.query;
    res.json({ message: `${this.config.greeting}, ${name}!` });
  }

  private echo(req: HayRequest, res: HayResponse) {
    this.requests += 1;
    res.status(201).json({ body: req.body, bytes: req.rawBody?.length ?? 0 });
  }
}

if (require.main === module) {
  startPluginWorker(SimpleHttpTestPlugin);
}
