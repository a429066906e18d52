import { gzipSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { rawAnswer } from "../support/bare-door.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { payloadRows } from "../support/payload-rows.ts";
import { callOf, refusedBodies } from "../support/refused-bodies.ts";
import { score } from "../support/score.ts";
import { type DoorCase, type ServedGround, servedGround } from "../support/served-ground.ts";
import type { Answer, Asked } from "../support/server.ts";
import { strangersRequests, unclearRequests } from "../support/unclear-requests.ts";
import { until } from "../support/until.ts";

const ground = forThisFile(() => servedGround());
const total = score();

let serial = 0;
const freshId = (row: string): string => `${row.toLowerCase()}-${++serial}`;

const json = { "content-type": "application/json" };

/** As the tenant `acme`, unless a header says otherwise. */
async function ask({ server, keys, saw }: ServedGround, path: string, asked: Asked = {}): Promise<Answer> {
  const headers = { authorization: `Bearer ${keys.acme}`, ...asked.headers };
  const answer = await server.ask(path, { ...asked, headers });
  saw(answer.body.toString("latin1"), JSON.stringify(answer.headers));
  return answer;
}

const post = (on: ServedGround, body: string | Buffer, query = "", headers: object = {}): Promise<Answer> =>
  ask(on, `/v1/tasks${query}`, { method: "POST", body, headers: { ...json, ...headers } });

const bodyOf = ({ body }: Answer) => JSON.parse(body.toString());

/** Runs a call to its end, here and by the id. */
async function ran(on: ServedGround, id: string, more: object = {}, headers: object = {}) {
  const answer = await post(on, callOf(id, more), "?wait=60s", headers);
  expect(answer.status, answer.body.toString()).toBe(200);
  expect((await ask(on, `/v1/tasks/${id}`)).body).toEqual(answer.body);
  return bodyOf(answer);
}

const door = (id: string, name: string, tasks: number, act: DoorCase["act"]): DoorCase => ({ id, name, tasks, act });

/** Ends before it begins: a call that costs no sandbox. */
const expired = { expires_at: "2020-01-01T00:00:00Z" };

const raw = async ({ server, saw }: ServedGround, bytes: string): Promise<string> => {
  const answer = await rawAnswer(Number(new URL(server.url).port), bytes);
  saw(answer);
  return answer;
};

const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);

const bodies = refusedBodies.map(({ row, name, body, code, path }) =>
  door(row, name, 0, async (on) => {
    const id = freshId(row);
    const answer = await post(on, body(id));
    expect(bodyOf(answer)).toMatchObject({ code, status: answer.status, retryable: false });
    if (path !== null) expect(bodyOf(answer).details).toMatchObject([{ path }]);
    expect(answer.body.length).toBeLessThan(20_000);
    expect((await ask(on, `/v1/tasks/${id}`)).status).toBe(404);
  }),
);

const known: readonly DoorCase[] = [
  ...[-1, 0, 1].map((more) =>
    door("G3", `1 MiB and ${more} bytes are a call like any other`, 1, async (on) => {
      const id = freshId("G3");
      const stdin = "x".repeat(1024 * 1024 + more - callOf(id, { stdin: "" }).length);
      expect((await ran(on, id, { stdin })).reason).toBe("ok");
    }),
  ),
  door("G4", "a text of 5 MB is a call like any other", 1, async (on) => {
    expect((await ran(on, freshId("G4"), { stdin: "x".repeat(5_000_000) })).reason).toBe("ok");
  }),
  door("G8", "upper and lower case are two ids", 2, async (on) => {
    const id = freshId("G8");
    for (const each of [id.toUpperCase(), id]) expect((await ran(on, each, expired)).task_id).toBe(each);
  }),
  door("G9", "the same call a hundred times at once", 1, async (on) => {
    const id = freshId("G9");
    const call = callOf(id, { payload: { command: "head -c 8 /dev/urandom | base64" } });
    const answers = await Promise.all(Array.from({ length: 100 }, () => post(on, call, "?wait=60s")));
    expect(new Set(answers.map(({ status, body }) => `${status} ${body}`)).size).toBe(1);
    expect(bodyOf(answers[0] as Answer)).toMatchObject({ reason: "ok", attempt: 1 });
  }),
  ...[{ payload: { command: "false" } }, { nonsense: true }].map((more) =>
    door("G10", `a known id with ${JSON.stringify(more)}`, 1, async (on) => {
      const id = freshId("G10");
      const first = await post(on, callOf(id, expired), "?wait=60s");
      const second = await post(on, callOf(id, { ...expired, ...more }));
      expect(second.status).toBe("payload" in more ? 409 : 422);
      expect((await post(on, callOf(id, expired))).body).toEqual(first.body);
      expect((await ask(on, `/v1/tasks/${id}`)).body).toEqual(first.body);
    }),
  ),
  door("G13", "expired before it came", 1, async (on) => {
    expect(await ran(on, freshId("G13"), expired)).toMatchObject({ reason: "expired", sandbox: null });
  }),
  door("G13", "a timestamp of a hundred years from now is the sender's own business", 1, async (on) => {
    const metadata = { timestamp: "2126-01-01T00:00:00Z" };
    expect((await ran(on, freshId("G13"), { ...expired, metadata })).metadata).toMatchObject(metadata);
  }),
  ...["", "garbage", "00-00000000000000000000000000000000-0000000000000000-01", "ff-".padEnd(55, "a")].map((trace) =>
    door("G16", `the traceparent ${JSON.stringify(trace)}`, 1, async (on) => {
      expect((await ran(on, freshId("G16"), expired, { traceparent: trace })).trace_id).toBeNull();
    }),
  ),
];

const cancels: readonly DoorCase[] = [
  door("G12", "a cancel that overtakes its task, twice", 1, async (on) => {
    const id = freshId("G12");
    for (const _time of [1, 2]) expect((await ask(on, `/v1/tasks/${id}`, { method: "DELETE" })).status).toBe(202);
    expect((await ran(on, id, { payload: { command: "sleep 60" } })).reason).toBe("cancelled");
  }),
  door("G12", "a cancel of a task that runs ends it", 1, async (on) => {
    const id = freshId("G12");
    await post(on, callOf(id, { payload: { command: "echo ready; sleep 60" } }));
    await until("it runs", async () => (await ask(on, `/v1/tasks/${id}/logs`)).body.includes("ready"), 60_000);
    expect((await ask(on, `/v1/tasks/${id}`, { method: "DELETE" })).status).toBe(202);
    expect(bodyOf(await ask(on, `/v1/tasks/${id}?wait=60s`)).reason).toBe("cancelled");
  }),
  door("G12", "a cancel after the end, of another tenant, of nobody: nothing happens", 1, async (on) => {
    const id = freshId("G12");
    const first = await post(on, callOf(id, expired), "?wait=60s");
    const theirs = { authorization: `Bearer ${on.keys.other}` };
    const answers = [
      await ask(on, `/v1/tasks/${id}`, { method: "DELETE", headers: theirs }),
      await ask(on, "/v1/tasks/nobody", { method: "DELETE", headers: theirs }),
    ];
    // The same words for a task of somebody else and for one that nobody has.
    const [one = "", other] = answers.map(({ status, body }) => `${status} ${body}`);
    expect(one.replace(id, "nobody")).toBe(other);
    expect((await ask(on, `/v1/tasks/${id}`, { method: "DELETE" })).status).toBe(200);
    expect((await ask(on, `/v1/tasks/${id}`)).body).toEqual(first.body);
  }),
];

const paths = (
  [
    ["G24", "a body over the cap", "/v1/tasks", { method: "POST", headers: json, body: "x".repeat(9 << 20) }, 413],
    ["G24", "a form", "/v1/tasks", { method: "POST", headers: { "content-type": "text/plain" }, body: "a=1" }, 415],
    ["G24", "a doubled slash", "//v1/tasks", {}, 404],
    ["G24", "a dotted path", "/v1/%2e%2e/v1/tasks/kept", {}, 404],
    ["G24", "an encoding that is none", "/v1/tasks/%ff", {}, 400],
    ["G24", "another case", "/V1/tasks", {}, 404],
    ["G24", "a task of dots", "/v1/tasks/..%2f..%2fetc", {}, 404],
    ["G24", "an artifact of dots", "/v1/tasks/kept/artifacts/..%2f..%2f..%2ftasks.db", {}, 404],
    ["G24", "a file of dots", `/v1/files/${"..%2f".repeat(12)}etc%2fx`, { method: "PUT", body: "x" }, 400],
    ["G24", "a file that is not what its name says", `/v1/files/${"0".repeat(64)}`, { method: "PUT", body: "x" }, 422],
    [
      "G24",
      "a field's name in another case",
      "/v1/tasks",
      { method: "POST", headers: json, body: '{"TASK_ID":"a"}' },
      422,
    ],
    ["G24", "a method nobody has", "/v1/tasks/kept", { method: "PATCH" }, 404],
    [
      "G29",
      "a packed body that would become 1 GiB",
      "/v1/tasks",
      { method: "POST", headers: { ...json, "content-encoding": "gzip" }, body: gzipSync(Buffer.alloc(1 << 30)) },
      415,
    ],
  ] as const satisfies readonly (readonly [string, string, string, Asked, number])[]
).map(([row, name, path, asked, status]) =>
  door(row, name, 0, async (on) => {
    const answer = await ask(on, path, asked);
    expect(answer.status).toBe(status);
    expect(bodyOf(answer)).toMatchObject({ status, code: expect.any(String), detail: expect.any(String) });
  }),
);

const strangers: readonly DoorCase[] = [
  ...unclearRequests.map(([row, name, bytes, status]) =>
    door(row, name, 0, async (on) => {
      expect(statusOf(await raw(on, bytes))).toBe(status);
    }),
  ),
  ...strangersRequests.map(([name, bytes]) =>
    door("G31", name, 0, async (on) => {
      expect(statusOf(await raw(on, bytes))).toBe(403);
    }),
  ),
];

const forged = ({ acme }: ServedGround["keys"]): readonly string[] => [
  `${acme.slice(0, -1)}${acme.endsWith("A") ? "B" : "A"}`,
  `tx_${"0".repeat(12)}_${"a".repeat(43)}`,
  acme.slice(0, "tx_123456789012_".length),
  "eyJhbGciOiJub25lIn0.eyJ0ZW5hbnQiOiJhY21lIn0.",
  "../../keys",
];

const tenants: readonly DoorCase[] = [
  door("G26", "no key, a forged one, one of no kind: all with the same words", 0, async (on) => {
    const words = new Set<string>();
    for (const key of forged(on.keys)) {
      const answer = await ask(on, "/v1/tasks/kept", { headers: { authorization: `Bearer ${key}` } });
      expect(answer.status).toBe(401);
      words.add(answer.body.toString());
    }
    expect(words.size).toBe(1);
    expect((await on.server.ask("/v1/tasks/kept")).status).toBe(401);
    expect((await on.server.ask("/v1/tools")).status).toBe(401);
  }),
  door("G26", "a key opens nothing from the moment that it is revoked", 0, async (on) => {
    const made = await on.toolx.run(["keys", "create", "--tenant", "acme"]);
    const key = { headers: { authorization: `Bearer ${made.stdout.trim()}` } };
    expect((await on.server.ask("/v1/tools", key)).status).toBe(200);
    const id = /^key ([0-9a-f]{12}) /.exec(made.stderr)?.[1] ?? "";
    expect((await on.toolx.run(["keys", "revoke", id])).code).toBe(0);
    expect((await on.server.ask("/v1/tools", key)).status).toBe(401);
  }),
  door("G26", "another tenant's task is as one that nobody has, wherever it is asked for", 0, async (on) => {
    for (const rest of ["", "/events", "/logs", "/artifacts", "/artifacts/kept"]) {
      const [theirs, nobodys] = [await ask(on, `/v1/tasks/kept${rest}`), await ask(on, `/v1/tasks/nobody${rest}`)];
      expect([theirs.status, theirs.body.toString()], rest).toEqual([404, nobodys.body.toString()]);
    }
    expect((await ask(on, "/v1/tasks/kept?tenant_id=other")).status).toBe(403);
    expect((await post(on, callOf("stolen", { tenant_id: "other" }))).status).toBe(403);
    expect(
      bodyOf(await ask(on, "/v1/tasks?limit=1000")).tasks.map(({ task_id }: { task_id: string }) => task_id),
    ).not.toContain("kept");
  }),
  door("G32", "what needs no key tells of no task, tenant or key, whatever was asked before", 0, async (on) => {
    for (let number = 0; number < 50; number += 1) await on.server.ask(`/v1/tasks/secret-${number}/artifacts/passwd`);
    const answers = await Promise.all(["/metrics", "/healthz", "/readyz"].map((path) => on.server.ask(path)));
    const text = answers.map(({ body }) => body.toString()).join();
    on.saw(text);
    expect(text).not.toMatch(/secret-|passwd|acme|kept/);
    expect(new Set(text.match(/route="[^"]*"/g)).size).toBeLessThan(25);
  }),
  door("G33", "who goes away while it runs, and sends it again, finds the same task", 1, async (on) => {
    const id = freshId("G33");
    const call = callOf(id, { task_id: undefined, payload: { command: "echo ready; sleep 2; echo done" } });
    const headers = { ...json, authorization: `Bearer ${on.keys.acme}`, "idempotency-key": id };
    const away = new AbortController();
    const asked = { method: "POST", headers, body: call, signal: away.signal };
    const asking = fetch(`${on.server.url}/v1/tasks?wait=60s`, asked).then(
      () => "answered",
      () => "gone",
    );
    await until("it runs", async () => (await ask(on, `/v1/tasks/${id}/logs`)).body.includes("ready"), 60_000);
    away.abort();
    expect(await asking).toBe("gone");
    const again = await post(on, call, "?wait=60s", { "idempotency-key": id });
    expect(again.headers["tool-executor-intake"]).toBe("duplicate");
    expect(bodyOf(again)).toMatchObject({ task_id: id, reason: "ok", attempt: 1, output: { stdout: "ready\ndone\n" } });
  }),
];

test.each([...bodies, ...known, ...cancels, ...paths, ...strangers, ...tenants])("$id $name", async (one) => {
  total.started({ id: one.id, inputs: 1 });
  await ground().hold(one);
  total.green({ id: one.id, inputs: 1 }, null);
});

afterAll(() => {
  const { elsewhere, notApplicable } = payloadRows("http", "test/e2e/hostile-http.test.ts");
  process.stdout.write(`over HTTP\n${total.text(notApplicable, elsewhere)}\n`);
});
