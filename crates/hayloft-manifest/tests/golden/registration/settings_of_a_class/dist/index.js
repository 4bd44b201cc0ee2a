"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.WhatsAppPlugin = void 0;
const plugin_sdk_1 = require("@hay/plugin-sdk");
class WhatsAppPlugin extends plugin_sdk_1.HayPlugin {
    constructor() {
        super();
    }
}
exports.WhatsAppPlugin = WhatsAppPlugin;
if (require.main === module) {
    (0, plugin_sdk_1.startPluginWorker)(WhatsAppPlugin);
}
