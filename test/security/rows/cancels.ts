import { expect } from "vitest";
import type { House } from "../../../src/app/house.ts";
import type { Reason } from "../../../src/model/failure.ts";
import { ExecutorError } from "../../../src/model/failure.ts";
import { processesOf } from "../../support/process-facts.ts";
import type { Ground, Hooks } from "../ground.ts";
import { brief, expectReason, type HostileCase, hostile, shell } from "../hostile-case.ts";

type Cancel = () => void;

/** A task that would take ten seconds, cancelled at a moment; `hooks` makes the moment out of the house and the cancel. */
function cancelled(
  moment: string,
  allowed: readonly Reason[],
  hooks: (ground: Ground, cancel: Cancel) => Hooks,
  command = "echo begun; sleep 10",
): HostileCase {
  return hostile(
    "C12",
    `cancelled ${moment}`,
    async (ground) => {
      const asked = new AbortController();
      const cancel = (): void => asked.abort(new ExecutorError("cancelled", "cancelled by the case"));
      const { result, sandboxId, record } = await ground.run(shell(command), {
        cancel: asked.signal,
        ...hooks(ground, cancel),
      });
      expect(asked.signal.aborted || record.cancelRequested, "the moment came").toBe(true);
      expectReason(result, ...allowed);
      expect(result.metrics.duration_ms).toBeLessThan(5000);
      expect(record.attempt).toBeLessThanOrEqual(1);
      if (sandboxId !== null) expect(processesOf(sandboxId)).toEqual([]);
    },
    brief,
  );
}

const never = new AbortController().signal;
const withParts = (house: House, parts: Partial<House["parts"]>): House => ({
  ...house,
  parts: { ...house.parts, ...parts },
});

export const cancelRows: readonly HostileCase[] = [
  cancelled("while its sandbox is made", ["cancelled"], ({ house }, cancel) => {
    const { sandboxes } = house.parts;
    const create: typeof sandboxes.create = (spec, signal) => {
      const creating = sandboxes.create(spec, signal);
      cancel();
      return creating;
    };
    return { house: withParts(house, { sandboxes: { ...sandboxes, create } }) };
  }),
  cancelled("before its sandbox is asked for", ["cancelled"], ({ house }, cancel) => {
    const { images } = house.parts;
    const resolve: typeof images.resolve = (name, signal) => {
      cancel();
      return images.resolve(name, signal);
    };
    return { house: withParts(house, { images: { ...images, resolve } }) };
  }),
  cancelled("while it runs", ["cancelled"], (_ground, cancel) => ({
    watcher: (event) => {
      if (event.kind === "output") cancel();
    },
  })),
  cancelled("by another process while it runs", ["cancelled"], ({ house: { parts } }) => ({
    async watcher(event) {
      if (event.kind !== "output") return;
      for (const { task, owner } of await parts.store.list({ states: ["RUNNING"], limit: 100 }, never)) {
        if (task.payload.command !== "echo begun; sleep 10" || owner === null) continue;
        await parts.store.requestCancel({ tenantId: task.tenant_id, taskId: task.task_id }, 1000, never);
        await parts.liveness.poke(owner, never);
      }
    },
  })),
  cancelled(
    "while its files are collected",
    ["ok", "cancelled"],
    ({ house }, cancel) => {
      const { sandboxes } = house.parts;
      const create: typeof sandboxes.create = async (spec, signal) => {
        const sandbox = await sandboxes.create(spec, signal);
        const events: typeof sandbox.events = async function* () {
          for await (const batch of sandbox.events()) {
            if (batch.some(({ kind }) => kind === "artifacts")) cancel();
            yield batch;
          }
        };
        return { ...sandbox, events };
      };
      return { house: withParts(house, { sandboxes: { ...sandboxes, create } }) };
    },
    "head -c 1M /dev/zero >/output/zeros",
  ),
  cancelled(
    "while its files are stored",
    ["ok", "cancelled"],
    ({ house }, cancel) => {
      const { objects } = house.parts;
      const put: typeof objects.put = (key, body, signal) => {
        cancel();
        return objects.put(key, body, signal);
      };
      return { house: withParts(house, { objects: { ...objects, put } }) };
    },
    "head -c 1M /dev/zero >/output/zeros",
  ),
  cancelled(
    "after it is done",
    ["ok"],
    (_ground, cancel) => ({
      watcher: (event) => {
        if (event.kind === "state" && event.state === "FINISHED") cancel();
      },
    }),
    "true",
  ),
  hostile(
    "C12",
    "cancelled at once",
    async (ground) => {
      // Nothing is stored yet: the caller hears why, and there is no row that could ever run.
      const reason = new ExecutorError("cancelled", "cancelled by the case");
      await expect(ground.run(shell("echo it ran"), { cancel: AbortSignal.abort(reason) })).rejects.toBe(reason);
    },
    brief,
  ),
  hostile(
    "C12",
    "cancelled while it waits for a slot",
    async (ground) => {
      const { house } = ground;
      const taken = Promise.withResolvers<void>();
      const slots: House["parts"]["slots"] = {
        take: (_tenantId, signal) =>
          new Promise((_, reject) => {
            signal.addEventListener("abort", () => reject(signal.reason), { once: true });
            taken.resolve();
          }),
      };
      const asked = new AbortController();
      const running = ground.run(shell("echo it ran"), { cancel: asked.signal, house: withParts(house, { slots }) });
      await taken.promise;
      asked.abort(new ExecutorError("cancelled", "cancelled by the case"));
      const { result, sandboxId } = await running;
      expectReason(result, "cancelled");
      expect(sandboxId).toBeNull();
    },
    brief,
  ),
  hostile(
    "C12",
    "cancelled before its time has come",
    async (ground) => {
      const asked = new AbortController();
      const running = ground.run(
        { ...shell("echo it ran"), not_before: new Date(Date.now() + 60_000).toISOString() },
        {
          cancel: asked.signal,
          watcher: (event) => {
            if (event.kind === "state" && event.state === "QUEUED")
              setImmediate(() => asked.abort(new ExecutorError("cancelled", "by the case")));
          },
        },
      );
      const { result, sandboxId } = await running;
      expectReason(result, "cancelled");
      expect(sandboxId).toBeNull();
    },
    brief,
  ),
];
