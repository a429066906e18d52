import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openDatabase } from "../../../../src/adapters/sqlite/open-database.ts";
import { sqliteFailure } from "../../../../src/adapters/sqlite/sqlite-failure.ts";
import { sqliteTaskStore } from "../../../../src/adapters/sqlite/sqlite-task-store.ts";
import { taskKey } from "../../../../src/model/task.ts";
import { anAuditRecord, anOwner, aResult, aTask, handClock, never } from "../../../support/samples.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sqlite-"));
  path = join(folder, "data", "tasks.db");
});
afterEach(() => rmSync(folder, { recursive: true }));

const failing = (message: string) =>
  expect.objectContaining({ code: "internal", message: expect.stringContaining(message), hint: expect.any(String) });

describe("the file", () => {
  test("is this user's alone, and so is its folder", async () => {
    await using store = sqliteTaskStore(path, handClock());
    await store.intake(aTask(), "h1", never());
    expect(statSync(join(folder, "data")).mode & 0o777).toBe(0o700);
    for (const name of [path, `${path}-wal`, `${path}-shm`]) expect(statSync(name).mode & 0o777, name).toBe(0o600);
  });

  test("keeps what was written when it is opened again", async () => {
    await sqliteTaskStore(path, handClock()).intake(aTask(), "h1", never());
    await using store = sqliteTaskStore(path, handClock());
    expect((await store.get(taskKey(aTask()), never()))?.task).toEqual(aTask());
  });

  test("waits for the disk at every commit, in write-ahead mode", () => {
    const database = openDatabase(path);
    const pragma = (name: string) => Object.values(database.prepare(`pragma ${name}`).get() ?? {})[0];
    expect(pragma("synchronous")).toBe(2);
    expect(pragma("journal_mode")).toBe("wal");
    expect(pragma("integrity_check")).toBe("ok");
    database.close();
  });

  test("opens in milliseconds when there is nothing to migrate", () => {
    openDatabase(path).close();
    const times = Array.from({ length: 20 }, () => {
      const startedAt = performance.now();
      openDatabase(path).close();
      return performance.now() - startedAt;
    });
    expect(Math.min(...times)).toBeLessThan(5);
  });
});

test("a file of the first version is brought forward, with what waits in it to be sent", async () => {
  const value = Buffer.from("result");
  {
    await using store = sqliteTaskStore(path, handClock());
    await store.intake(aTask(), "h1", never());
    const attempt = await store.leaseTask(taskKey(aTask()), anOwner(), 1000, never());
    if (attempt !== null) await store.finish(attempt, aResult(), value, never());
  }
  const old = new DatabaseSync(path);
  const first = readFileSync(
    join(import.meta.dirname, "../../../../src/adapters/sqlite/migrations/0001-tasks.sql"),
    "utf8",
  );
  const outbox = /^create table outbox .*?;$/ms.exec(first)?.[0] ?? "";
  old.exec(`
    drop index tasks_leased; drop table outbox; ${outbox}
    alter table tasks drop column callback_url;
    drop index tasks_by_tenant; drop index tasks_held; drop index attempts_by_tenant;
    drop index tasks_finished; drop table swept;
    drop table audit;
    drop table knowledge_words; drop table knowledge_passages; drop table knowledge_documents;
    create index tasks_to_lease on tasks (priority desc, id) where state = 'QUEUED';
    insert into outbox (tenant_id, task_id, result_sha256, created_at) values ('acme', 't-1', 'abc', 7);
    pragma user_version = 1`);
  old.close();
  await using store = sqliteTaskStore(path, handClock());
  const key = { tenantId: "acme", taskId: "t-1" };
  const headers = { "result-sha256": "abc" };
  const row = { id: 1, kind: "result", key, headers, value, createdAt: 7 };
  expect(await store.claimOutbox(10, 1000, never())).toEqual([row]);
  expect(await store.republish(key, never())).toBe(true);
});

test("what stands in the audit is not changed by hand either", async () => {
  await using store = sqliteTaskStore(path, handClock());
  await store.audit([anAuditRecord()], never());
  const other = new DatabaseSync(path);
  expect(() => other.exec("update audit set detail = '{}'")).toThrow("what stands in audit is never changed");
  other.close();
  expect(await store.listAudit(taskKey(aTask()), 10, never())).toEqual([anAuditRecord()]);
});

describe("a finished task", () => {
  test("leaves one row for the relay, with the hash of the stored bytes, in the same transaction", async () => {
    const bytes = Buffer.from("result");
    const clock = handClock();
    {
      await using store = sqliteTaskStore(path, clock);
      await store.intake(aTask(), "h1", never());
      const attempt = await store.leaseTask(taskKey(aTask()), anOwner(), 1000, never());
      if (attempt === null) throw new Error("not leased");
      await store.finish(attempt, aResult(), bytes, never());
      await store.finish(attempt, aResult(), bytes, never());
    }
    const database = openDatabase(path);
    expect(database.prepare("select * from outbox").all()).toEqual([
      {
        id: 1,
        kind: "result",
        tenant_id: "acme",
        task_id: "t-1",
        headers: null,
        value: null,
        result_sha256: createHash("sha256").update(bytes).digest("hex"),
        created_at: clock.now(),
        claimed_until: 0,
        published_at: null,
        tries: 0,
      },
    ]);
    expect(database.prepare("select number, ending, ended_at from attempts").all()).toEqual([
      { number: 1, ending: "finished", ended_at: clock.now() },
    ]);
    database.close();
  });

  test("is not finished when its row for the relay cannot be written", async () => {
    await using store = sqliteTaskStore(path, handClock());
    await store.intake(aTask(), "h1", never());
    const attempt = await store.leaseTask(taskKey(aTask()), anOwner(), 1000, never());
    if (attempt === null) throw new Error("not leased");
    const other = new DatabaseSync(path);
    other.exec("create trigger stop before insert on outbox begin select raise(abort, 'no'); end");
    await expect(store.finish(attempt, aResult(), Buffer.from("x"), never())).rejects.toThrow();
    expect(await store.get(attempt.key, never())).toMatchObject({ state: "LEASED", resultBytes: null });
    other.exec("drop trigger stop");
    expect(await store.finish(attempt, aResult(), Buffer.from("x"), never())).toBe(true);
    other.close();
  });
});

describe("a file that cannot be used is one clear failure, and is left as it was", () => {
  test("no database", () => {
    mkdirSync(join(folder, "data"));
    writeFileSync(path, "a letter to a friend, longer than a header of a hundred bytes".repeat(3));
    const before = readFileSync(path);
    expect(() => sqliteTaskStore(path, handClock())).toThrow(failing(`task store ${path}: it is no task store`));
    expect(readFileSync(path)).toEqual(before);
  });

  test("another program's database", () => {
    mkdirSync(join(folder, "data"));
    const other = new DatabaseSync(path);
    other.exec("create table theirs (x)");
    other.close();
    const before = readFileSync(path);
    expect(() => sqliteTaskStore(path, handClock())).toThrow(
      failing(`task store ${path} is another program's database`),
    );
    expect(readFileSync(path)).toEqual(before);
  });

  test("a newer version's", () => {
    const database = openDatabase(path);
    database.exec("pragma user_version = 999");
    database.close();
    expect(() => sqliteTaskStore(path, handClock())).toThrow(failing("has schema 999, this version knows 9 at most"));
  });

  test("a folder", () => {
    mkdirSync(path, { recursive: true });
    expect(() => sqliteTaskStore(path, handClock())).toThrow(failing(`task store ${path}: it cannot be opened`));
  });

  test("below a file", () => {
    writeFileSync(join(folder, "data"), "");
    expect(() => sqliteTaskStore(path, handClock())).toThrow(failing("it cannot be opened"));
  });

  test.each<[string, { readonly errcode?: number; readonly code?: string }, string]>([
    ["SQLITE_BUSY", { errcode: 5 }, "locked for too long"],
    ["SQLITE_BUSY_SNAPSHOT", { errcode: 517 }, "locked for too long"],
    ["SQLITE_READONLY", { errcode: 8 }, "it cannot be written"],
    ["SQLITE_READONLY_DIRECTORY", { errcode: 1544 }, "it cannot be written"],
    ["SQLITE_IOERR_WRITE", { errcode: 778 }, "the disk failed"],
    ["SQLITE_IOERR_SHMSIZE", { errcode: 4874 }, "the disk is full"],
    ["SQLITE_CORRUPT", { errcode: 11 }, "it is damaged"],
    ["SQLITE_FULL", { errcode: 13 }, "the disk is full"],
    ["SQLITE_CANTOPEN", { errcode: 14 }, "it cannot be opened"],
    ["EROFS", { code: "EROFS" }, "it cannot be written"],
    ["ENOSPC", { code: "ENOSPC" }, "the disk is full"],
  ])("%s is named", (_name, marks, why) => {
    const cause = Object.assign(new Error("x"), marks);
    expect(sqliteFailure("/d/tasks.db", cause)).toEqual(failing(why));
    expect(sqliteFailure("/d/tasks.db", cause)).toMatchObject({ cause });
  });

  test("what is neither SQLite's nor the file system's is our bug and stays as it is", () => {
    const bug = new TypeError("x");
    expect(sqliteFailure(path, bug)).toBe(bug);
  });
});
