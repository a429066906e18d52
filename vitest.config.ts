import { defineConfig } from "vitest/config";

/** One project a folder of test/. Only the first two run without an engine. */
const project = (name: string, groupOrder: number, rest: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], sequence: { groupOrder }, ...rest },
});

/** Real containers: one file at a time and one folder after the other, so that no test's load is another's failure. */
const oneAtATime = { fileParallelism: false, maxWorkers: 1, testTimeout: 120_000, hookTimeout: 120_000 };

/** What bin/toolx starts its process with: rows of test/security hold the memory of this one, which plays the executor. */
const memory = { execArgv: ["--max-semi-space-size=8"] };
process.env.MALLOC_ARENA_MAX = "2";
process.env.MALLOC_MMAP_THRESHOLD_ = "65536";

export default defineConfig({
  test: {
    projects: [
      project("unit", 0),
      project("conformance", 0),
      project("integration", 1, oneAtATime),
      project("e2e", 2, oneAtATime),
      project("services", 3, oneAtATime),
      project("security", 4, { ...oneAtATime, ...memory }),
      project("security-gvisor", 5, {
        ...oneAtATime,
        ...memory,
        include: ["test/security/hostile.test.ts"],
        env: { TOOLX_TEST_RUNTIME: "runsc", TOOLX_TEST_CASES: "one_a_row" },
      }),
    ],
  },
});
