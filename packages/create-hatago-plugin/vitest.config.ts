import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { name: "create-hatago-plugin", include: ["test/**/*.test.ts"], testTimeout: 60_000 },
});
