"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.OrdersPlugin = void 0;
const plugin_sdk_1 = require("@hay/plugin-sdk");
class OrdersPlugin extends plugin_sdk_1.HayPlugin {
    constructor() {
        super({ id: 'orders' });
    }
}
exports.OrdersPlugin = OrdersPlugin;
if (require.main === module) {
    (0, plugin_sdk_1.startPluginWorker)(OrdersPlugin);
}
