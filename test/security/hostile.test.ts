import { availableParallelism } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectHostAsRead } from "../support/host-files.ts";
import { testPool, testRuntime } from "../support/house.ts";
import { score } from "../support/score.ts";
import { batteries } from "./batteries.ts";
import { batteryCase } from "./battery.ts";
import { type Ground, openGround } from "./ground.ts";
import { isCovering, shell } from "./hostile-case.ts";
import { withInvariants } from "./invariants.ts";
import { archiveRows } from "./rows/archives.ts";
import { artifactCapRows } from "./rows/artifact-caps.ts";
import { artifactNameRows } from "./rows/artifact-names.ts";
import { artifactTreeRows } from "./rows/artifact-trees.ts";
import { cancelRows } from "./rows/cancels.ts";
import { declarationRows } from "./rows/declarations.ts";
import { egressRows } from "./rows/egress.ts";
import { engineRows } from "./rows/engine.ts";
import { exhaustionRows } from "./rows/exhaustion.ts";
import { floodRows } from "./rows/floods.ts";
import { forgeryRows } from "./rows/forgeries.ts";
import { inputRows } from "./rows/inputs.ts";
import { lifecycleRows } from "./rows/lifecycle.ts";
import { logSinkRows } from "./rows/log-sinks.ts";
import { manyAtOnceRows } from "./rows/many-at-once.ts";
import { neighbourRows } from "./rows/neighbours.ts";
import { oddByteRows } from "./rows/odd-bytes.ts";
import { pidOneRows } from "./rows/pid-one.ts";
import { resultFileRows } from "./rows/result-file.ts";
import { storedObjectRows } from "./rows/stored-objects.ts";
import { sweepRows } from "./rows/sweep.ts";
import { terminalRows } from "./rows/terminals.ts";
import { workingFolderRows } from "./rows/working-folders.ts";
import { watched } from "./stored-output.ts";

const rows = [
  ...exhaustionRows,
  ...neighbourRows,
  ...lifecycleRows,
  ...declarationRows,
  ...cancelRows,
  ...resultFileRows,
  ...pidOneRows,
  ...engineRows,
  ...manyAtOnceRows,
  ...batteries.map(batteryCase),
  ...sweepRows,
  ...floodRows,
  ...oddByteRows,
  ...terminalRows,
  ...forgeryRows,
  ...logSinkRows,
  ...artifactTreeRows,
  ...artifactCapRows,
  ...archiveRows,
  ...artifactNameRows,
  ...inputRows,
  ...storedObjectRows,
  ...workingFolderRows,
  ...egressRows,
];

const chosen = isCovering ? rows.filter(({ id }, at) => rows.findIndex((other) => other.id === id) === at) : rows;

/** What of a row cannot be tried yet, and why. */
const notApplicable: Readonly<Record<string, string>> = {
  D13: "a changed secret cannot be told from other text, which docs/security.md says",
  E26: "there are no presigned URLs",
  F30: "no secret is put into requests on their way",
};

/** What of a row is tried on real services, and where. */
const elsewhere: Readonly<Record<string, string>> = {
  "C14 alert": "test/unit/deploy-monitoring.test.ts",
  "D4 on Postgres": "test/services/hostile-rows.test.ts",
  "D15 on Loki": "test/services/loki.test.ts",
  "E24 on S3": "test/services/hostile-rows.test.ts",
  "D8, D9, D14": "test/unit/secrets/redactor.test.ts",
  "D11, D12": "test/e2e/secrets.test.ts",
  E25: "test/services/hostile-rows.test.ts",
  F27: "test/unit/adapters/docker/channels.test.ts",
  "F28 the orchestrator killed": "test/e2e/egress.test.ts",
};

const where = `under ${testRuntime}${testPool === "warm" ? ", in warm sandboxes" : ""}`;

describe(`hostile inputs, ${where}`, () => {
  const idleTimes: number[] = [];
  const total = score();
  let ground: Ground;

  beforeAll(async () => {
    ground = await openGround();
    // V8's room for young objects grows to its bound (48 MiB) with the first floods, and stays: what grows after that is a leak.
    await watched(ground, shell("yes | head -c 400M", { timeout_seconds: 100, cpus: availableParallelism() }));
    await watched(
      ground,
      shell("head -c 300M /dev/zero | tr '\\0' a", { timeout_seconds: 100, cpus: availableParallelism() }),
    );
    for (let warm = 0; warm < 8; warm += 1) idleTimes.push(await ground.neighbour());
    // gVisor writes such floods slowly on a busy machine.
  }, 300_000);

  afterAll(async () => {
    await ground[Symbol.asyncDispose]();
    await expectHostAsRead();
    process.stdout.write(`${where}\n${total.text(notApplicable, elsewhere)}\n`);
    const { made, lookedAt } = ground.containers();
    // Some cases stop their engine, and some end a sandbox before it has a task.
    expect(lookedAt, `of ${made} containers, those whose settings were looked at`).toBeGreaterThan(made * 0.9);
  });

  for (const one of chosen) {
    test(`${one.id} ${one.name}`, { timeout: one.boundMs }, async () => {
      total.started(one);
      // Its own and those of the cases just before, most of which take a second.
      idleTimes.push(await ground.neighbour());
      total.green(one, await withInvariants(ground, one, idleTimes));
    });
  }
});
