import { HayPlugin, startPluginWorker } from '@hay/plugin-sdk';
import * as tools from './tools.json'; // MCP tool definitions

export class AttioPlugin extends HayPlugin {
  constructor() {
    super({
      id: 'attio',
      name: 'Attio',
      version: '1.0.0',
      description: 'Reads and writes Attio records',
      author: 'Hay',
      category: 'integration', // or 'channel', 'utility'
      capabilities: ['mcp'], // Add 'routes', 'messages', 'customers' as needed
    });
  }

  async onInitialize() {
    this.log('Plugin initialized');
  }

  protected async registerMCP() {
    // For local MCP servers
    await this.sdk.mcp.registerLocalMCP({
      serverPath: './mcp',
      startCommand: 'node index.js',
      tools: tools as any,
    });

    // For remote MCP servers
    await this.sdk.mcp.registerRemoteMCP({
      url: 'https://mcp.example.com',
      transport: 'http',
      auth: { type: 'oauth2', authorizationUrl: 'https://mcp.example.com/authorize', tokenUrl: 'https://mcp.example.com/token' },
      tools: tools as any,
    });
  }
}

if (require.main === module) {
  startPluginWorker(AttioPlugin);
}
