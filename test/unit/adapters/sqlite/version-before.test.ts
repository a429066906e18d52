import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { apiKeysFolder } from "../../../../src/adapters/disk/api-keys-folder.ts";
import { memoryObjectStore } from "../../../../src/adapters/memory/memory-object-store.ts";
import { sqliteTaskStore } from "../../../../src/adapters/sqlite/sqlite-task-store.ts";
import { frontOf } from "../../../../src/app/front.ts";
import { ownerText } from "../../../../src/model/owner.ts";
import { requestSha256 } from "../../../../src/schema/canonical.ts";
import { encodeResult } from "../../../../src/schema/encode-result.ts";
import { anOwner, aResult, aTask, handClock, never } from "../../../support/samples.ts";

/** Written by the code of the version before retention, and never by this one. */
const golden = join(import.meta.dirname, "../../../support/golden/before-retention");
const older: Readonly<Record<string, string>> = JSON.parse(
  readFileSync(join(golden, "sqlite-statements.json"), "utf8"),
);

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "before-"));
  path = join(folder, "tasks.db");
});
afterEach(() => rmSync(folder, { recursive: true }));

const clock = handClock(1_767_225_700_000);
const key = (taskId: string) => ({ tenantId: "acme", taskId });

/** What that version left, as this one finds it. */
function found() {
  using database = new DatabaseSync(path);
  database.exec(readFileSync(join(golden, "tasks.sql"), "utf8"));
  return sqliteTaskStore(path, clock);
}

describe("what a server of the version before left", () => {
  test("waits, runs and has ended as it left it, and goes on", async () => {
    await using store = found();
    const files = [{ path: "in.csv", executable: false, sha256: "a".repeat(64) }];
    const request = aTask({ task_id: "t-queued", files, env: { MODE: "ci" } });
    expect(await store.get(key("t-queued"), never())).toMatchObject({ state: "QUEUED", task: request });
    expect(await store.intake(request, requestSha256(request), never())).toMatchObject({ kind: "duplicate" });
    const attempt = await store.leaseTask(key("t-queued"), anOwner(7), 10_000, never());
    if (attempt === null) throw new Error("not leased");
    expect(await store.finish(attempt, aResult(), Buffer.from("x"), never())).toBe(true);

    const [running] = await store.listExpired(10, never());
    expect(running).toMatchObject({ state: "RUNNING", owner: anOwner(), attempt: 1, sandboxId: "box" });
    const lost = { key: key("t-running"), number: 1, owner: anOwner() };
    expect(await store.adopt(lost, anOwner(7), 10_000, never())).toMatchObject({ number: 1, owner: anOwner(7) });

    const { resultBytes } = (await store.get(key("t-sent"), never())) ?? {};
    const { egress_connections: _later, redactions: _too, ...metrics } = aResult().metrics;
    expect(JSON.parse(String(resultBytes))).toEqual({ ...aResult({ task_id: "t-sent" }), metrics });
    expect((await store.listOld("results", 0, [], 10, never())).map((old) => old.key.taskId)).toEqual(["t-sent"]);
  });

  test("to be sent is sent: results, dead letters, callbacks; a cancel that overtook its task finds it", async () => {
    await using store = found();
    const claimed = await store.claimOutbox(10, 1000, never());
    expect(claimed.map(({ kind, key: of }) => `${kind} ${of?.taskId}`)).toEqual([
      "result t-waits",
      "dead_letter t-waits",
      "dead_letter undefined",
    ]);
    expect(JSON.parse(claimed[0]?.value.toString() ?? "")).toMatchObject({ task_id: "t-waits", reason: "image" });
    expect(JSON.parse(claimed[1]?.value.toString() ?? "")).toMatchObject({ task_id: "t-waits", tool_name: "shell" });
    expect(claimed[1]?.headers).toMatchObject({ "dlq-reason": "image" });
    expect([claimed[2]?.value.toString(), claimed[2]?.headers]).toEqual([
      "not json",
      { "dlq-reason": "validation", "dlq-stage": "intake" },
    ]);
    expect(await store.claimCallbacks(10, 1000, never())).toMatchObject([
      { key: key("t-waits"), url: "https://hooks.example/1", tries: 1 },
    ]);
    await store.intake(aTask({ task_id: "t-to-come" }), "h", never());
    expect(await store.get(key("t-to-come"), never())).toMatchObject({ cancelRequested: true });
  });

  test("an API key opens as before", () => {
    expect(apiKeysFolder(join(golden, "keys")).find("0123456789ab")).toMatchObject({ tenantId: "acme" });
  });
});

describe("a process of the version before that runs on beside this one", () => {
  test("leases, ends and sends what this one took in, and this one reads its end", async () => {
    await using store = sqliteTaskStore(path, clock);
    using theirs = new DatabaseSync(path);
    const rows = (name: string, values: Record<string, string | number | null | Buffer>) =>
      theirs.prepare(older[name] ?? "").all(values);
    const task = aTask({ task_id: "t-ours" });
    await store.intake(task, requestSha256(task), never());
    const [row] = rows("selectTask", { tenantId: "acme", taskId: "t-ours" });
    // It fills in what a field means that it does not know of a stored request by leaving it where it is.
    expect(JSON.parse(String(row?.request))).toEqual(task);
    const [now, leaseUntil, owner] = [clock.now(), clock.now() + 10_000, ownerText(anOwner(3))];
    const attempt = { tenantId: "acme", taskId: "t-ours", number: 1 };
    expect(rows("leaseNext", { owner, leaseUntil, now })).toEqual([
      { tenant_id: "acme", task_id: "t-ours", attempt: 1 },
    ]);
    rows("insertAttempt", { ...attempt, owner, now });
    rows("starting", { ...attempt, owner });
    rows("running", { ...attempt, owner, sandboxId: "box", now });
    rows("attemptRunning", { ...attempt, sandboxId: "box", deadlineAt: now, now });
    expect(await store.get(key("t-ours"), never())).toMatchObject({ state: "RUNNING", owner: anOwner(3) });
    rows("collecting", { ...attempt, owner });
    const result = encodeResult(aResult({ task_id: "t-ours" }));
    rows("finish", { ...attempt, owner, now, reason: "ok", result });
    rows("endAttempt", { ...attempt, ending: "finished", now });
    rows("insertOutbox", { tenantId: "acme", taskId: "t-ours", kind: "result", sha256: "0".repeat(64), now });
    expect((await store.get(key("t-ours"), never()))?.resultBytes).toEqual(result);
    expect((await store.claimOutbox(10, 1, never())).map(({ value }) => value)).toEqual([result]);
  });

  test("takes in what this one leases, and sends what this one ended", async () => {
    await using store = sqliteTaskStore(path, clock);
    using theirs = new DatabaseSync(path);
    const task = aTask({ task_id: "t-theirs" });
    const values = {
      tenantId: "acme",
      taskId: "t-theirs",
      requestSha256: requestSha256(task),
      priority: 5,
      now: clock.now(),
    };
    const bounds = { maxOfTenant: 10, maxInAll: 10, notBeforeAt: null, callbackUrl: null };
    theirs.prepare(older.insertTask ?? "").run({ ...values, ...bounds, request: JSON.stringify(task) });
    expect(await store.intake(task, requestSha256(task), never())).toMatchObject({ kind: "duplicate" });
    const attempt = await store.leaseTask(key("t-theirs"), anOwner(7), 10_000, never());
    if (attempt === null) throw new Error("not leased");
    const result = encodeResult(aResult({ task_id: "t-theirs" }));
    await store.finish(attempt, aResult(), result, never());
    const ids = theirs
      .prepare(older.claimOutbox ?? "")
      .all({ claimedUntil: clock.now() + 1000, limit: 10, now: clock.now() })
      .map(({ id }) => id);
    expect(theirs.prepare(older.selectOutbox ?? "").all({ ids: JSON.stringify(ids) })).toMatchObject([
      { kind: "result", task_id: "t-theirs", result: new Uint8Array(result) },
    ]);
    theirs.prepare(older.markPublished ?? "").run({ ids: JSON.stringify(ids), now: clock.now() });
    expect(await store.claimOutbox(10, 1, never())).toEqual([]);
  });
});

test("a result with fields of a later version is answered as it was stored, byte for byte", async () => {
  await using store = sqliteTaskStore(path, clock);
  await store.intake(aTask(), "h", never());
  const attempt = await store.leaseTask(key("t-1"), anOwner(), 10_000, never());
  if (attempt === null) throw new Error("not leased");
  const { output, ...rest } = aResult();
  const bytes = Buffer.from(JSON.stringify({ ...rest, later: [1], output: { ...output, later: { much: true } } }));
  await store.finish(attempt, aResult(), bytes, never());
  const unused = (): never => {
    throw new Error("not in this test");
  };
  const archive = { store, objects: memoryObjectStore() };
  const front = frontOf({
    archive,
    catalog: unused,
    liveness: unused,
    sandboxRoot: folder,
    pulse: null,
    isKept: () => false,
    waiting: null,
  });
  expect((await front.get(key("t-1"), 0, never()))?.resultBytes).toEqual(bytes);
  expect(await front.manifest(key("t-1"), never())).toBeNull();
  expect((await store.claimOutbox(10, 1, never())).map(({ value }) => value)).toEqual([bytes]);
});
