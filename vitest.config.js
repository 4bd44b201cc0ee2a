import { defineConfig } from "vitest/config";

// Each package is a project of its own, with its own `vitest.config.ts` where it needs one.
export default defineConfig({
  test: { projects: ["packages/*"] },
});
