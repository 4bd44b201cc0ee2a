"use strict";
var __createBinding = (this && this.__createBinding) || (Object.create ? (function(o, m, k, k2) {
    if (k2 === undefined) k2 = k;
    var desc = Object.getOwnPropertyDescriptor(m, k);
    if (!desc || ("get" in desc ? !m.__esModule : desc.writable || desc.configurable)) {
      desc = { enumerable: true, get: function() { return m[k]; } };
    }
    Object.defineProperty(o, k2, desc);
}) : (function(o, m, k, k2) {
    if (k2 === undefined) k2 = k;
    o[k2] = m[k];
}));
var __setModuleDefault = (this && this.__setModuleDefault) || (Object.create ? (function(o, v) {
    Object.defineProperty(o, "default", { enumerable: true, value: v });
}) : function(o, v) {
    o["default"] = v;
});
var __importStar = (this && this.__importStar) || (function () {
    var ownKeys = function(o) {
        ownKeys = Object.getOwnPropertyNames || function (o) {
            var ar = [];
            for (var k in o) if (Object.prototype.hasOwnProperty.call(o, k)) ar[ar.length] = k;
            return ar;
        };
        return ownKeys(o);
    };
    return function (mod) {
        if (mod && mod.__esModule) return mod;
        var result = {};
        if (mod != null) for (var k = ownKeys(mod), i = 0; i < k.length; i++) if (k[i] !== "default") __createBinding(result, mod, k[i]);
        __setModuleDefault(result, mod);
        return result;
    };
})();
Object.defineProperty(exports, "__esModule", { value: true });
exports.StripePlugin = void 0;
const plugin_sdk_1 = require("@hay/plugin-sdk");
const tools = __importStar(require("./tools.json")); // MCP tool definitions
class StripePlugin extends plugin_sdk_1.HayPlugin {
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
    async registerMCP() {
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
            tools: tools,
        });
    }
}
exports.StripePlugin = StripePlugin;
if (require.main === module) {
    (0, plugin_sdk_1.startPluginWorker)(StripePlugin);
}
