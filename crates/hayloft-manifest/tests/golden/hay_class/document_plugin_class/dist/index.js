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
exports.AttioPlugin = void 0;
const plugin_sdk_1 = require("@hay/plugin-sdk");
const tools = __importStar(require("./tools.json")); // MCP tool definitions
class AttioPlugin extends plugin_sdk_1.HayPlugin {
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
    async registerMCP() {
        // For local MCP servers
        await this.sdk.mcp.registerLocalMCP({
            serverPath: './mcp',
            startCommand: 'node index.js',
            tools: tools,
        });
        // For remote MCP servers
        await this.sdk.mcp.registerRemoteMCP({
            url: 'https://mcp.example.com',
            transport: 'http',
            auth: { type: 'oauth2', authorizationUrl: 'https://mcp.example.com/authorize', tokenUrl: 'https://mcp.example.com/token' },
            tools: tools,
        });
    }
}
exports.AttioPlugin = AttioPlugin;
if (require.main === module) {
    (0, plugin_sdk_1.startPluginWorker)(AttioPlugin);
}
