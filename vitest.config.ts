import { availableParallelism } from "node:os";
import { configDefaults, defineConfig } from "vitest/config";

/**
 * Files that claim nothing close about time, nothing about memory or what else is on the engine, and for the most part wait: two of them
 * run at once, before all that measures. One whose executor is killed while a task runs has it on a host of its own (`openCli`).
 */
const besideOthers = Object.entries({
  integration: "code-interpreter images own-images prewarm runtimes warm-marks",
  e2e:
    "backup bundle callbacks client custom-tools egress egress-clients egress-registries files hostile-cli hostile-http http-tool knowledge own-images " +
    "refusals replay serve serve-cli serve-streams tools-tutorial",
  services:
    "all-together away-for-a-minute callbacks-on-postgres collecting egress-psql hostile-rows kafka-examples kafka-group kafka-security kafka-service " +
    "kafka-transport knowledge-on-kafka knowledge-store left-behind postgres-away retention serve-on-kafka smoke stack task-store toolx-on-postgres toolx-on-s3 " +
    "vault version-before",
  security: "weakened",
}).flatMap(([folder, names]) => names.split(" ").map((name) => `test/${folder}/${name}.test.ts`));

/** One project a folder of test/, without what runs beside others. Only `unit` and `conformance` run without an engine. */
const project = (name: string, groupOrder: number, rest: object = {}) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    exclude: [...configDefaults.exclude, ...besideOthers],
    sequence: { groupOrder },
    ...rest,
  },
});

/** Vitest would leave one of them free, which is half of a machine with two. */
const onAllProcessors = { maxWorkers: availableParallelism() };
/** Real containers: one file at a time and one folder after the other, so that no test's load is another's failure. */
const oneAtATime = { fileParallelism: false, maxWorkers: 1, testTimeout: 120_000, hookTimeout: 120_000 };
/** Only root may give an executor a host of its own. */
const twoAtATime = {
  ...{ fileParallelism: true, maxWorkers: process.geteuid?.() === 0 ? 2 : 1 },
  ...{ testTimeout: 240_000, hookTimeout: 240_000 },
};

/** What bin/toolx starts its process with: rows of test/security hold the memory of this one, which plays the executor. */
const memory = { execArgv: ["--max-semi-space-size=8"] };
process.env.MALLOC_ARENA_MAX = "2";
process.env.MALLOC_MMAP_THRESHOLD_ = "65536";

/** The hostile suite again: the first case of each row. Never two such runs at once: each is a neighbour that the other's neighbours are held against. */
const oneARow = (env: Readonly<Record<string, string>>) => ({
  ...oneAtATime,
  ...memory,
  include: ["test/security/hostile.test.ts"],
  env: { TOOLX_TEST_CASES: "one_a_row", ...env },
});

export default defineConfig({
  test: {
    projects: [
      project("beside", 0, { ...twoAtATime, include: besideOthers, exclude: configDefaults.exclude }),
      project("unit", 1, onAllProcessors),
      project("conformance", 1, onAllProcessors),
      project("integration", 2, oneAtATime),
      project("e2e", 3, oneAtATime),
      project("services", 4, oneAtATime),
      project("security", 5, { ...oneAtATime, ...memory }),
      project("security-gvisor", 6, oneARow({ TOOLX_TEST_RUNTIME: "runsc" })),
      project("security-warm", 7, oneARow({ TOOLX_TEST_SANDBOXES: "warm" })),
    ],
  },
});
