import { HayPlugin, startPluginWorker } from '@hay/plugin-sdk';
import * as tools from './tools.json'; // MCP tool definitions

export class StripePlugin extends HayPlugin {
  constructor() {
    super({
      id: 'hay-plugin-stripe',
      name: 'Stripe',
      version: '1.0.0',
      description: 'Reads and writes payments',
      author: 'Hay',
      category: 'integration',
      capabilities: ['mcp'],
    });
  }

  protected async registerMCP() {
    await this.sdk.mcp.registerRemoteMCP({
      url: 'https://mcp.stripe.com',
      transport: 'http',
      auth: {
        type: 'oauth2',
        authorizationUrl: 'https://mcp.stripe.com/oauth/authorize',
        tokenUrl: 'https://mcp.stripe.com/oauth/token',
        scopes: ['read_write'],
        clientIdEnvVar: 'STRIPE_CLIENT_ID',
        clientSecretEnvVar: 'STRIPE_CLIENT_SECRET',
        pkce: true,
      },
      tools: tools as any,
    });
  }
}

if (require.main === module) {
  startPluginWorker(StripePlugin);
}
