import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import type { DatabaseAddress } from "../../src/adapters/postgres/database-address.ts";
import { postgresTaskStore } from "../../src/adapters/postgres/postgres-task-store.ts";
import { migrateDatabase } from "../../src/adapters/postgres/schema.ts";
import { taskKey } from "../../src/model/task.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { addressOf, emptyDatabase, freshDatabase } from "../support/fresh-database.ts";
import { leaseOne } from "../support/lease-one.ts";
import { anAuditRecord, anOwner, aResult, aTask, never } from "../support/samples.ts";
import { startPostgres } from "../support/services.ts";
import { startToxiproxy } from "../support/toxiproxy.ts";
import { until } from "../support/until.ts";

const postgres = forThisFile(startPostgres);
const bounds = { callMs: 2000, retryMs: 500 };
const open = (address: DatabaseAddress) => postgresTaskStore(address, never(), bounds);
const key = taskKey(aTask());

const failing = (message: string) =>
  expect.objectContaining({ code: "internal", message: expect.stringContaining(message), hint: expect.any(String) });

/** What a call ends as, and after how long. */
async function timed<T>(call: () => Promise<T>): Promise<{ readonly ended: T | unknown; readonly tookMs: number }> {
  const startedAt = performance.now();
  const ended = await call().catch((error: unknown) => error);
  return { ended, tookMs: performance.now() - startedAt };
}

describe("many connections", () => {
  test("eight workers that lease at once get every task, and none twice", async () => {
    await using stack = new AsyncDisposableStack();
    const { address } = stack.use(await freshDatabase(postgres()));
    const stores = await Promise.all(Array.from({ length: 8 }, async () => stack.use(await open(address))));
    const ids = Array.from({ length: 200 }, (_, index) => `t-${index}`);
    await Promise.all(
      ids.map((task_id, index) => stores[index % 8]?.intake(aTask({ task_id }), `h-${task_id}`, never())),
    );
    const leasedBy = await Promise.all(
      stores.map(async (store, index) => {
        const leased: string[] = [];
        for (;;) {
          const attempt = await leaseOne(store, anOwner(index + 1), 10_000);
          if (attempt === null) return leased;
          leased.push(attempt.key.taskId);
        }
      }),
    );
    expect(leasedBy.flat().sort()).toEqual(ids.sort());
    expect(leasedBy.filter((leased) => leased.length > 0).length).toBeGreaterThan(1);
  });

  test("a lease that another worker is taking is passed over, not waited for", async () => {
    await using stack = new AsyncDisposableStack();
    const { address, client } = stack.use(await freshDatabase(postgres()));
    const store = stack.use(await open(address));
    await store.intake(aTask(), "h1", never());
    await store.intake(aTask({ task_id: "t-2" }), "h2", never());
    await client.query("begin; select from tasks where task_id = 't-1' for update");
    expect((await leaseOne(store, anOwner(), 10_000))?.key.taskId).toBe("t-2");
    await client.query("rollback");
  });

  test("a cancel and its task that come at the same moment find each other", async () => {
    await using stack = new AsyncDisposableStack();
    const { address } = stack.use(await freshDatabase(postgres()));
    const [one, other] = [stack.use(await open(address)), stack.use(await open(address))];
    const ids = Array.from({ length: 300 }, (_, index) => `t-${index}`);
    await Promise.all(
      ids.flatMap((task_id) => [
        one.intake(aTask({ task_id }), "h", never()),
        other.requestCancel({ tenantId: "acme", taskId: task_id }, 60_000, never()),
      ]),
    );
    const records = await one.list({ limit: 1000 }, never());
    expect(records.filter(({ cancelRequested }) => !cancelRequested)).toEqual([]);
    expect(records).toHaveLength(300);
  });

  test("what a serializable database refuses (40001) is tried again", async () => {
    await using stack = new AsyncDisposableStack();
    const { address, client } = stack.use(await freshDatabase(postgres()));
    await client.query(`alter database ${address.database} set default_transaction_isolation = 'serializable'`);
    const store = stack.use(await open(address));
    await store.intake(aTask(), "h1", never());
    await client.query("begin; update tasks set priority = 6");
    const lease = store.leaseTask(key, anOwner(), 10_000, never());
    await waiting(client);
    await client.query("commit");
    expect(await lease).toMatchObject({ number: 1 });
  });
});

describe("a finished task", () => {
  test("leaves one row for the relay, with the hash of the stored bytes", async () => {
    await using stack = new AsyncDisposableStack();
    const { address, client } = stack.use(await freshDatabase(postgres()));
    const store = stack.use(await open(address));
    await store.intake(aTask(), "h1", never());
    const attempt = await store.leaseTask(key, anOwner(), 1000, never());
    if (attempt === null) throw new Error("not leased");
    const bytes = Buffer.from('{"output": "a\\u0000b"}');
    expect(await store.finish(attempt, aResult(), bytes, never())).toBe(true);
    expect(await store.finish(attempt, aResult(), bytes, never())).toBe(false);
    const { rows } = await client.query("select tenant_id, task_id, result_sha256, published_at from outbox");
    const result_sha256 = createHash("sha256").update(bytes).digest("hex");
    expect(rows).toEqual([{ tenant_id: "acme", task_id: "t-1", result_sha256, published_at: null }]);
  });

  test("is not finished when its row for the relay cannot be written", async () => {
    await using stack = new AsyncDisposableStack();
    const { address, client } = stack.use(await freshDatabase(postgres()));
    const store = stack.use(await open(address));
    await store.intake(aTask(), "h1", never());
    const attempt = await store.leaseTask(key, anOwner(), 1000, never());
    if (attempt === null) throw new Error("not leased");
    await client.query(`
      create function stop() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
      create trigger stop before insert on outbox for each row execute function stop()`);
    await expect(store.finish(attempt, aResult(), Buffer.from("x"), never())).rejects.toThrow();
    expect(await store.get(key, never())).toMatchObject({ state: "LEASED", resultBytes: null });
    await client.query("drop trigger stop on outbox");
    expect(await store.finish(attempt, aResult(), Buffer.from("x"), never())).toBe(true);
  });
});

test("what stands in the audit is not changed by hand either", async () => {
  await using database = await freshDatabase(postgres());
  await using store = await open(database.address);
  await store.audit([anAuditRecord()], never());
  const refused = "what stands in audit is never changed";
  await expect(database.client.query("update audit set detail = '{}'")).rejects.toThrow(refused);
  expect(await store.listAudit(key, 10, never())).toEqual([anAuditRecord()]);
});

describe("a server that fails is one clear failure, in bounded time", () => {
  test("nobody listens", async () => {
    await using stack = new AsyncDisposableStack();
    const { url } = stack.use(await freshDatabase(postgres()));
    const proxy = stack.use(await startToxiproxy(postgres(), 5432));
    const address = { ...addressOf(url), port: proxy.port };
    const store = stack.use(await open(address));
    await proxy.cut();
    const { ended, tookMs } = await timed(() => store.get(key, never()));
    expect(ended).toEqual(failing(`task store localhost:${proxy.port}/${address.database}: `));
    expect(tookMs).toBeLessThan(bounds.callMs + 500);
    await proxy.mend();
    expect(await store.get(key, never())).toBeNull();
  });

  test("a connection that swallows everything, for a call and for the goodbye", async () => {
    await using stack = new AsyncDisposableStack();
    const { url } = stack.use(await freshDatabase(postgres()));
    const proxy = stack.use(await startToxiproxy(postgres(), 5432));
    const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
    const socketsBefore = sockets();
    const store = await open({ ...addressOf(url), port: proxy.port });
    await Promise.all(Array.from({ length: 4 }, () => store.get(key, never())));
    await proxy.blackHole();
    const { ended, tookMs } = await timed(() => store.get(key, never()));
    expect(ended).toEqual(failing(`no answer within ${bounds.callMs} ms`));
    expect(tookMs).toBeLessThan(bounds.callMs + 500);
    expect((await timed(() => Promise.resolve(store[Symbol.asyncDispose]()))).tookMs).toBeLessThan(2000);
    expect(sockets()).toBeLessThanOrEqual(socketsBefore);
  });

  test("more calls than there are connections, into a silence: each is told that the database is away", async () => {
    await using stack = new AsyncDisposableStack();
    const { url } = stack.use(await freshDatabase(postgres()));
    const proxy = stack.use(await startToxiproxy(postgres(), 5432));
    // Longer than a connection is waited for.
    const patient = { callMs: 6000, retryMs: 500 };
    const store = stack.use(await postgresTaskStore({ ...addressOf(url), port: proxy.port }, never(), patient));
    await proxy.blackHole();
    const calls = await Promise.allSettled(Array.from({ length: 20 }, () => store.get(key, never())));
    const reasons = calls.map((call) => (call.status === "rejected" ? call.reason : call.value));
    expect(reasons).toEqual(Array.from({ length: 20 }, () => failing("task store localhost:")));
    for (const reason of reasons) expect(reason).toMatchObject({ isAway: true });
  });

  test.each([
    ["a step", "starting", true],
    ["the end", "finish", true],
    ["the end, which somebody else has reached first", "finish", false],
  ] as const)(
    "%s whose answer is lost on the way is known to have been written, or not",
    async (_name, verb, isOurs) => {
      await using stack = new AsyncDisposableStack();
      const { url, address, client } = stack.use(await freshDatabase(postgres()));
      const proxy = stack.use(await startToxiproxy(postgres(), 5432));
      const direct = stack.use(await open(address));
      const patient = { callMs: 20_000, retryMs: 15_000 };
      const through = { ...addressOf(url), port: proxy.port };
      const store = stack.use(await postgresTaskStore(through, never(), patient));
      await store.intake(aTask(), "h1", never());
      const attempt = await store.leaseTask(key, anOwner(), 10_000, never());
      if (attempt === null) throw new Error("not leased");
      if (!isOurs)
        await direct.finishUnleased(
          key,
          { attempt: 1, owner: attempt.owner },
          aResult(),
          Buffer.from("first"),
          never(),
        );
      const sessions = async (): Promise<number> => {
        const idle =
          "select from pg_stat_activity where application_name = 'tool-executor' and datname = current_database()";
        return (await client.query(idle)).rowCount ?? 0;
      };
      await proxy.swallowAnswers();
      const write =
        verb === "starting"
          ? store.starting(attempt, never())
          : store.finish(attempt, aResult(), Buffer.from("ours"), never());
      const state = verb === "starting" ? "STARTING" : "FINISHED";
      await until("the write", async () => (await direct.get(key, never()))?.state === state, 5000);
      await proxy.cut();
      await until("the end of the connection", async () => (await sessions()) === 1, 5000);
      await proxy.mend();
      expect(await write).toBe(isOurs);
      const { rows } = await client.query("select count(*)::int as count from outbox");
      expect(rows).toEqual([{ count: verb === "finish" ? 1 : 0 }]);
    },
  );

  test("an intake whose answer is lost on the way has begun its task, and says so", async () => {
    await using stack = new AsyncDisposableStack();
    const { url, address, client } = stack.use(await freshDatabase(postgres()));
    const proxy = stack.use(await startToxiproxy(postgres(), 5432));
    const direct = stack.use(await open(address));
    const through = { ...addressOf(url), port: proxy.port };
    const store = stack.use(await postgresTaskStore(through, never(), { callMs: 20_000, retryMs: 15_000 }));
    await store.get(key, never());
    await proxy.swallowAnswers();
    const beginning = { owner: anOwner(), leaseMs: 10_000, sandboxId: "sandbox-1", deadlineAt: 7 };
    const intake = store.intake(aTask(), "h1", never(), beginning);
    await until("the write", async () => (await direct.get(key, never()))?.state === "RUNNING", 5000);
    await proxy.cut();
    const sessions =
      "select from pg_stat_activity where application_name = 'tool-executor' and datname = current_database()";
    await until("the end of the connection", async () => (await client.query(sessions)).rowCount === 1, 5000);
    await proxy.mend();
    expect(await intake).toMatchObject({
      kind: "accepted",
      begun: { attempt: { key, number: 1 }, record: { state: "RUNNING", sandboxId: "sandbox-1" } },
    });
    expect((await client.query("select number, sandbox_id, deadline_at::int from attempts")).rows).toEqual([
      { number: 1, sandbox_id: "sandbox-1", deadline_at: 7 },
    ]);
  });

  test("a call is given up when its signal aborts, and the next one works", async () => {
    await using stack = new AsyncDisposableStack();
    const { address, client } = stack.use(await freshDatabase(postgres()));
    const store = stack.use(await open(address));
    await store.intake(aTask(), "h1", never());
    await client.query("begin; select from tasks for update");
    const controller = new AbortController();
    const reason = new Error("enough");
    const call = timed(() => store.leaseTask(key, anOwner(), 1000, controller.signal));
    await waiting(client);
    controller.abort(reason);
    expect(await call).toMatchObject({ ended: reason });
    await until("nothing of the call on the server", async () => (await waitingPids(client)).length === 0, 5000);
    await client.query("rollback");
    expect(await store.leaseTask(key, anOwner(), 1000, never())).toMatchObject({ number: 1 });
  });

  test("a connection that an operator ends (57P01) is made again, and the write is done once", async () => {
    await using stack = new AsyncDisposableStack();
    const { address, client } = stack.use(await freshDatabase(postgres()));
    const store = stack.use(await open(address));
    await store.intake(aTask(), "h1", never());
    await client.query("begin; select from tasks for update");
    const lease = store.leaseTask(key, anOwner(), 1000, never());
    const pid = await waiting(client);
    await client.query("select pg_terminate_backend($1)", [pid]);
    await client.query("rollback");
    expect(await lease).toMatchObject({ number: 1 });
  });

  test("a server that takes no writes (25006) says so, and does when it takes them again", async () => {
    await using stack = new AsyncDisposableStack();
    const { address, client } = stack.use(await freshDatabase(postgres()));
    await client.query(`alter database ${address.database} set default_transaction_read_only = on`);
    const store = stack.use(await open(address));
    const { ended, tookMs } = await timed(() => store.intake(aTask(), "h1", never()));
    expect(ended).toEqual(failing("the server takes no writes"));
    expect(tookMs).toBeLessThan(bounds.callMs);
    const intake = store.intake(aTask(), "h1", never());
    await client.query("set default_transaction_read_only = off");
    await client.query(`alter database ${address.database} reset default_transaction_read_only`);
    expect(await intake).toEqual({ kind: "accepted" });
  });

  test("a lock that is never given ends with the call's time, and nothing is left waiting for it", async () => {
    await using stack = new AsyncDisposableStack();
    const { address, client } = stack.use(await freshDatabase(postgres()));
    const store = stack.use(await open(address));
    await store.intake(aTask(), "h1", never());
    await client.query("begin; select from tasks for update");
    const { ended, tookMs } = await timed(() => store.leaseTask(key, anOwner(), 1000, never()));
    expect(ended).toEqual(failing("task store"));
    expect(tookMs).toBeLessThan(bounds.callMs + 500);
    await until("no statement that waits", async () => (await waitingPids(client)).length === 0, 5000);
    await client.query("rollback");
    expect((await store.get(key, never()))?.state).toBe("QUEUED");
  });

  test.each([
    ["a wrong password", { password: "wrong-secret" }, "refuses this user"],
    ["a database that is not there", { database: "nowhere" }, "there is no such database"],
    ["a name that nobody has", { host: "nowhere.invalid" }, "it cannot be reached"],
  ])("%s, without a word of the password", async (_name, difference, message) => {
    const address = { ...addressOf(postgres().url()), ...difference };
    const { ended } = await timed(() => open(address));
    expect(ended).toEqual(failing(message));
    expect(inspect(ended, { depth: 20 })).not.toContain(address.password);
  });
});

describe("TLS", () => {
  const under = async (tls: DatabaseAddress["tls"]): Promise<unknown> => {
    await using stack = new AsyncDisposableStack();
    const { address, client } = stack.use(await freshDatabase(postgres()));
    const { ended } = await timed(async () => {
      const store = stack.use(await open({ ...address, tls }));
      await store.get(key, never());
      const { rows } = await client.query(
        "select bool_and(ssl) as ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'tool-executor'",
      );
      return rows[0].ssl;
    });
    return ended;
  };

  test("is used when it is asked for, and only then", async () => {
    expect(await under({ kind: "require" })).toBe(true);
    expect(await under({ kind: "disable" })).toBe(false);
  });

  test("verify-full takes a certificate that the given file vouches for, and no other", async () => {
    const folder = await mkdtemp(join(tmpdir(), "certificate-"));
    const caFile = join(folder, "ca.crt");
    await writeFile(caFile, await postgres().certificate());
    expect(await under({ kind: "verify-full", caFile })).toBe(true);
    expect(await under({ kind: "verify-full", caFile: null })).toEqual(failing("TLS: "));
    await rm(folder, { recursive: true });
    expect(await under({ kind: "verify-full", caFile })).toMatchObject({ code: "validation" });
  });
});

describe("the schema", () => {
  test("is asked for by name where it is missing", async () => {
    await using database = await emptyDatabase(postgres());
    await expect(open(database.address)).rejects.toEqual(failing("has schema 0, this version needs 9"));
    await expect(open(database.address)).rejects.toMatchObject({ hint: "toolx migrate brings it there" });
  });

  test("is made once, however many ask for it", async () => {
    await using database = await emptyDatabase(postgres());
    const migrated = await Promise.all(Array.from({ length: 5 }, () => migrateDatabase(database.address, never())));
    expect(migrated.filter(({ from }) => from === 0)).toHaveLength(1);
    expect(migrated.filter(({ from, to }) => from === to)).toHaveLength(4);
    await using store = await open(database.address);
    expect(await store.list({ limit: 1 }, never())).toEqual([]);
  });

  test("may change under a worker that runs: what it had planned is planned again", async () => {
    await using database = await freshDatabase(postgres());
    await using store = await open(database.address);
    await store.intake(aTask(), "h1", never());
    expect(await store.get(key, never())).not.toBeNull();
    await database.client.query("alter table tasks add column later text");
    expect(await store.get(key, never())).not.toBeNull();
  });

  test.each([
    ["one that older workers must not meet is refused", false],
    ["one that lets older workers run is used", true],
  ])("of a newer version: %s", async (_name, olderMayRun) => {
    await using database = await freshDatabase(postgres());
    await database.client.query("insert into schema_migrations values (999, 'later', $1)", [olderMayRun]);
    const { ended } = await timed(async () => {
      await using store = await open(database.address);
      return await store.list({ limit: 1 }, never());
    });
    expect(ended).toEqual(olderMayRun ? [] : failing("has schema 999, this version knows"));
    await expect(migrateDatabase(database.address, never())).rejects.toEqual(failing("has schema 999"));
  });

  test("of another program is left alone", async () => {
    await using database = await emptyDatabase(postgres());
    await database.client.query("create table tasks (theirs text)");
    await expect(migrateDatabase(database.address, never())).rejects.toEqual(failing("another program's tables"));
    const { rows } = await database.client.query("select to_regclass('schema_migrations') as made");
    expect(rows).toEqual([{ made: null }]);
  });
});

type Client = Awaited<ReturnType<typeof emptyDatabase>>["client"];

async function waitingPids(client: Client): Promise<readonly number[]> {
  const { rows } = await client.query(
    "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
  );
  return rows.map(({ pid }) => pid);
}

/** The connection that waits for a lock. */
const waiting = (client: Client): Promise<number> =>
  until("a statement that waits for a lock", async () => (await waitingPids(client))[0], 5000);
