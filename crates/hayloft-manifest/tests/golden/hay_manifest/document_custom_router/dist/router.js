// plugins/my-plugin/dist/router.js
import { publicProcedure, trpcRouter } from "@hay/plugin-sdk/trpc";

export const router = trpcRouter({
  myEndpoint: publicProcedure.query(() => {
    return { message: "Hello from plugin" };
  }),
});
