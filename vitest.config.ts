import { defineConfig } from "vitest/config";

/** One project a folder of test/. Only the first two run without an engine. */
const project = (name: string, rest: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], ...rest },
});

export default defineConfig({
  test: {
    projects: [
      project("unit"),
      project("conformance"),
      // Real containers: one file at a time, so that no test's load is another's failure.
      project("integration", { fileParallelism: false, testTimeout: 60_000, hookTimeout: 120_000 }),
      project("e2e", { fileParallelism: false, testTimeout: 60_000, hookTimeout: 120_000 }),
      project("security", { fileParallelism: false, testTimeout: 120_000, hookTimeout: 120_000 }),
    ],
  },
});
