"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.A = void 0;
const plugin_sdk_1 = require("@hay/plugin-sdk");
class A extends plugin_sdk_1.HayPlugin {
    constructor() {
        super({ id: 'no-version' });
    }
}
exports.A = A;
if (require.main === module) {
    (0, plugin_sdk_1.startPluginWorker)(A);
}
