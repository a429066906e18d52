import { once } from "node:events";
import { duplexPair } from "node:stream";
import { expect, test } from "vitest";
import { defaultEgressCaps } from "../../../src/egress/proxy.ts";
import { type WayOutParts, wayOut } from "../../../src/executor/way-out.ts";
import type { Attempt } from "../../../src/model/attempt.ts";
import type { Task } from "../../../src/model/task.ts";
import type { Sandbox, SandboxConnection } from "../../../src/ports/sandbox.ts";

test.each([
  ["nobody went out by before", false],
  ["somebody went out by before", true],
])("F28 a way out that %s is closed with its task", async (_name, isUsedBefore) => {
  const dialled: string[] = [];
  const parts = {
    egress: {
      ...{ tcp: [], caps: defaultEgressCaps, extraCa: "", record: () => undefined },
      dial: async (name: string) => {
        dialled.push(name);
        throw new Error("not reached");
      },
    },
    clock: { now: () => 0, monotonicMs: () => performance.now() },
  } as unknown as WayOutParts;
  const task = { tenant_id: "a", task_id: "b", network: { allow: ["allowed.test"] } } as unknown as Task;
  const attempt = { key: { tenantId: "a", taskId: "b" }, number: 1 } as unknown as Attempt;
  const out = wayOut(parts, { attempt, task }, [], null);
  let take: (connection: SandboxConnection) => void = () => undefined;
  const serve = (taker: typeof take): void => {
    take = taker;
  };
  out.serve({ serve } as unknown as Sandbox);
  const asked = async (): Promise<void> => {
    const [client, inner] = duplexPair();
    const closed = once(inner, "close");
    client.on("error", () => undefined).resume();
    client.write("CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test\r\n\r\n");
    take({ to: "http", stream: inner });
    await closed;
  };

  if (isUsedBefore) await asked();
  out[Symbol.dispose]();
  await asked();
  expect(dialled).toHaveLength(isUsedBefore ? 1 : 0);
});
