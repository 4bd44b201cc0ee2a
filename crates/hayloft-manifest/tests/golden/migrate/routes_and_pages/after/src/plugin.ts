import { defineHayPlugin, type RouteHandler } from "@hay/plugin-sdk";

/** A handler in a module of its own, loaded when it is first called. */
function handler(file: string): RouteHandler {
  return async (req, res) => {
    const module = (await import(file)) as { default: RouteHandler | { default: RouteHandler } };
    const handle = typeof module.default === "function" ? module.default : module.default.default;
    return handle(req, res);
  };
}

export default defineHayPlugin(({ register }) => ({
  name: "Orders",

  onInitialize() {
    register.ui.page({ id: "orders", title: "Orders", component: "./components/Page.vue" });
    register.route("POST", "/webhook", handler("../handlers/webhook.js"));
    register.route("GET", "/orders/:id", handler("../handlers/orders.mjs"), { access: "organization" });
  },
}));
