import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { positionalQueries, type Values } from "../../src/adapters/postgres/positional.ts";
import { postgresTaskStore } from "../../src/adapters/postgres/postgres-task-store.ts";
import { ownerText } from "../../src/model/owner.ts";
import { requestSha256 } from "../../src/schema/canonical.ts";
import { encodeResult } from "../../src/schema/encode-result.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { anOwner, aResult, aTask, never } from "../support/samples.ts";
import { startPostgres } from "../support/services.ts";

const postgres = forThisFile(startPostgres);

/** The statements of the version before retention, written down by its own code. */
const golden = join(import.meta.dirname, "../support/golden/before-retention/postgres-statements.json");
const older: Readonly<Record<string, string>> = JSON.parse(readFileSync(golden, "utf8"));

test("on one database, a server of the version before and one of this one take in, run, end and send each other's tasks", async () => {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await freshDatabase(postgres()));
  const store = stack.use(await postgresTaskStore(database.address, never()));
  const positional = positionalQueries();
  const theirs = async (name: string, values: Values) =>
    (await database.client.query(positional(older[name] ?? "", values))).rows;
  const call = (task_id: string) => {
    const task = aTask({ task_id });
    return { task, requestSha256: requestSha256(task), key: { tenantId: "acme", taskId: task_id } };
  };
  const bounds = { maxOfTenant: 10, maxInAll: 10 };
  const owner = ownerText(anOwner(3));

  // Taken in by this one, run and ended by the other.
  const ours = call("t-ours");
  await store.intake(ours.task, ours.requestSha256, never());
  expect(await theirs("leaseNext", { owner, leaseMs: 10_000 })).toEqual([
    { tenant_id: "acme", task_id: "t-ours", attempt: 1 },
  ]);
  const attempt = { ...ours.key, number: 1, owner };
  const [row] = await theirs("selectTask", { ...ours.key });
  expect(JSON.parse(row.request.toString())).toEqual(ours.task);
  const written = [{ written: true }];
  expect(await theirs("starting", attempt)).toEqual(written);
  expect(await theirs("running", { ...attempt, sandboxId: "box", deadlineAt: 1 })).toEqual(written);
  expect(await store.get(ours.key, never())).toMatchObject({ state: "RUNNING", owner: anOwner(3), sandboxId: "box" });
  expect(await theirs("renew", { ...attempt, leaseMs: 10_000 })).toEqual([{ cancel_requested: false }]);
  expect(await theirs("collecting", attempt)).toEqual(written);
  const result = encodeResult(aResult({ task_id: "t-ours" }));
  const end = { ending: "finished", reason: "ok", sha256: "0".repeat(64), kinds: ["result"] };
  expect(await theirs("finish", { ...attempt, ...end, result })).toEqual(written);
  expect((await store.get(ours.key, never()))?.resultBytes).toEqual(result);
  expect((await store.claimOutbox(10, 1, never())).map(({ value }) => value)).toEqual([result]);

  // Taken in by the other, left by it in the middle, gone on with and ended by this one, sent by the other.
  const other = call("t-theirs");
  const request = Buffer.from(JSON.stringify(other.task));
  const given = { ...other.key, ...bounds, requestSha256: other.requestSha256, request, priority: 5 };
  expect(await theirs("insertTask", { ...given, notBeforeAt: null, callbackUrl: null })).toEqual([{ inserted: true }]);
  expect(await store.intake(other.task, other.requestSha256, never())).toMatchObject({ kind: "duplicate" });
  expect(await theirs("leaseTask", { ...other.key, owner, leaseMs: 10_000 })).toHaveLength(1);
  const lost = { key: other.key, number: 1, owner: anOwner(3) };
  const adopted = await store.adopt(lost, anOwner(7), 10_000, never());
  if (adopted === null) throw new Error("not taken over");
  const bytes = encodeResult(aResult({ task_id: "t-theirs" }));
  expect(await store.finish(adopted, aResult({ task_id: "t-theirs" }), bytes, never())).toBe(true);
  const claimed = await theirs("claimOutbox", { limit: 10, claimMs: 1000 });
  expect(claimed.map(({ kind, task_id, result: sent }) => [kind, task_id, sent])).toContainEqual([
    "result",
    "t-theirs",
    bytes,
  ]);
  await theirs("markPublished", { ids: claimed.map(({ id }) => Number(id)) });
  expect((await store.claimOutbox(10, 1, never())).filter(({ key }) => key?.taskId === "t-theirs")).toEqual([]);
});
