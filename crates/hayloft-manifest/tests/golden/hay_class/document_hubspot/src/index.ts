import { HayPlugin, startPluginWorker } from '@hay/plugin-sdk';

// In plugin worker (e.g., HubSpot plugin)
export class HubSpotPlugin extends HayPlugin {
  constructor() {
    super({
      id: 'hay-plugin-hubspot',
      capabilities: ['mcp'],
    });
  }

  protected async registerMCP() {
    await this.sdk.mcp.registerRemoteMCP({
      url: 'https://mcp.hubspot.com',
      transport: 'http',
      auth: {
        type: 'oauth2',
        authorizationUrl: 'https://mcp.hubspot.com/oauth/authorize/user',
        tokenUrl: 'https://mcp.hubspot.com/oauth/v3/token',
        scopes: ['crm.objects.contacts.read', 'crm.objects.contacts.write'],
        clientIdEnvVar: 'HUBSPOT_CLIENT_ID',
        clientSecretEnvVar: 'HUBSPOT_CLIENT_SECRET',
      },
      tools: [{ name: 'hubspot_get_contact', description: 'Gets a contact' }], // MCP tool definitions
    });
  }
}

if (require.main === module) {
  startPluginWorker(HubSpotPlugin);
}
