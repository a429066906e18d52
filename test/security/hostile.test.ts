import { afterAll, beforeAll, describe, test } from "vitest";
import { type Ground, openGround } from "./ground.ts";
import { type IdleTimes, withInvariants } from "./invariants.ts";
import { cancelRows } from "./rows/cancels.ts";
import { declarationRows } from "./rows/declarations.ts";
import { engineRows } from "./rows/engine.ts";
import { exhaustionRows } from "./rows/exhaustion.ts";
import { lifecycleRows } from "./rows/lifecycle.ts";
import { manyAtOnceRows } from "./rows/many-at-once.ts";
import { neighbourRows } from "./rows/neighbours.ts";
import { pidOneRows } from "./rows/pid-one.ts";
import { resultFileRows } from "./rows/result-file.ts";
import { score } from "./score.ts";

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
];

/** What of a row cannot be tried yet, and why. */
const notApplicable: Readonly<Record<string, string>> = {
  "A, C on gVisor": "this version runs tasks on runc only",
  "C14 alert": "there are no metrics and no readiness check that could show it yet",
};

describe("hostile inputs", () => {
  const idleTimes: IdleTimes = [];
  const total = score();
  let ground: Ground;

  beforeAll(async () => {
    ground = await openGround();
    for (let warm = 0; warm < 8; warm += 1) idleTimes.push(await ground.neighbour());
  });

  afterAll(async () => {
    await ground[Symbol.asyncDispose]();
    process.stdout.write(`${total.text(notApplicable)}\n`);
  });

  for (const one of rows) {
    test(`${one.id} ${one.name}`, async () => {
      total.started(one);
      total.green(one, await withInvariants(ground, one, idleTimes));
    });
  }
});
