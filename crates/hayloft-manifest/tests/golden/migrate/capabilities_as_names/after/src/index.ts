import { defineHayPlugin } from "@hay/plugin-sdk";

export default defineHayPlugin(() => ({
  name: "Orders",
}));
