import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CliEnd, type CliOptions, type CliProcess, printed } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { payloadRows } from "../support/payload-rows.ts";
import { score } from "../support/score.ts";
import { type DoorCase, type ServedGround, servedGround } from "../support/served-ground.ts";
import { strangeAnswers, strangeServer } from "../support/strange-answers.ts";

const ground = forThisFile(() => servedGround());
const total = score();

/** A command line by itself, and one of a server that a setting names. */
type Way = "here" | "on a server";
const ways: readonly Way[] = ["here", "on a server"];

let serial = 0;
const freshId = (row: string): string => `${row.toLowerCase()}-${++serial}`;

const envOf = ({ server, keys }: ServedGround, way: Way): Readonly<Record<string, string>> =>
  way === "here" ? {} : { TOOL_EXECUTOR_URL: server.url, TOOL_EXECUTOR_API_KEY: keys.acme };

function start(on: ServedGround, way: Way, args: readonly string[], options: CliOptions = {}): CliProcess {
  return on.other.start(args, { ...options, env: { ...envOf(on, way), ...options.env } });
}

async function run(on: ServedGround, way: Way, args: readonly string[], options?: CliOptions): Promise<CliEnd> {
  const end = await start(on, way, args, options).ended();
  on.saw(end.stdout, end.stderr);
  return end;
}

/** One message of ours on stderr, no stack, nothing that steers a terminal, and nothing on stdout. */
function expectRefused(end: CliEnd, pattern: RegExp, code: number): void {
  expect(end.stdout).toBe("");
  expect(end.stderr).toMatch(pattern);
  expect(end.stderr.match(/^toolx: /gm)).toHaveLength(1);
  expect(end.stderr).not.toMatch(/^\s+at /m);
  expect(end.stderr.replaceAll("\n", "")).toMatch(/^\P{Cc}{1,4000}$/u);
  expect(end.code).toBe(code);
}

const shell = (...flags: readonly string[]): readonly string[] => ["run", "shell", ...flags, "--", "echo never"];
const withPayload = (text: string): readonly string[] => ["run", "shell", "--payload", text];

const longest = "x".repeat(10_000);
const images = ["evil.example/x", "x:latest", "localhost:5000/x", `x@sha256:${"0".repeat(64)}`, "--privileged", "../x"];
const manyVariables = Array.from({ length: 20_000 }, (_, index) => ["--env", `V${index}=x`]).flat();

/** Files in the folder that the command lines start in. */
const files: Readonly<Record<string, () => string | Buffer>> = {
  "bytes.json": () => Buffer.concat([Buffer.from('{"command":"'), Buffer.from([0xff]), Buffer.from('"}')]),
  "large.json": () => JSON.stringify({ command: "x".repeat(10_000_000) }),
  "deep.json": () => `{"command":"true","a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
  "wide.json": () => `{${Array.from({ length: 500_000 }, (_, index) => `"k${index}":1`).join(",")}}`,
  "latin.py": () => Buffer.from([0x23, 0xe9, 0x0a]),
};

const refused: readonly (readonly [row: string, name: string, args: readonly string[], RegExp])[] = [
  ["G1", "a payload that is not json", withPayload("not json"), /--payload: the text is no JSON in UTF-8/],
  ["G1", "a payload of nothing", withPayload(""), /--payload: the text is no JSON in UTF-8/],
  ["G1", "a payload with a byte order mark", withPayload("\ufeff{}"), /--payload: the text is no JSON in UTF-8/],
  ["G1", "a payload with a byte that is no UTF-8", withPayload("@bytes.json"), /--payload: @bytes\.json is no JSON in/],
  ["G1", "a script with a byte that is no UTF-8", ["run", "python", "latin.py"], /latin\.py is no UTF-8 text/],
  ["G1", "the payload null", withPayload("null"), /payload is null, must be an object/],
  ["G1", "the payload []", withPayload("[]"), /payload is an array, must be an object/],
  ["G1", 'the payload "x"', withPayload('"x"'), /payload is a string, must be an object/],
  ["G3", "a payload of 10 MB", withPayload("@large.json"), /@large\.json is \d+ bytes long, at most 8388608/],
  ["G3", "a payload without an end", withPayload("@/dev/zero"), /@\/dev\/zero is 8388609 bytes long, at most/],
  ["G3", "a script without an end", ["run", "python", "/dev/zero"], /validation: .* at most 8388608/],
  ["G4", "100,000 nested arrays", withPayload("@deep.json"), /@deep\.json is nested deeper than 64 levels/],
  ["G4", "half a million members", withPayload("@wide.json"), /@wide\.json has more than 100000 values/],
  ["G6", "1e400", withPayload('{"command":"true","a":1e400}'), /a is a number too large to hold/],
  ["G6", "-0", withPayload('{"command":"true","a":-0}'), /a is -0, write 0/],
  ["G6", "2^53+1", withPayload('{"command":"true","a":9007199254740993}'), /a is about 9007199254740992/],
  ["G6", "1.5 for an integer", shell("--pids", "1.5"), /limits\.pids is 1\.5, must be an integer/],
  ["G6", "1e400 for a limit", shell("--cpus", "1e400"), /--cpus is "1e400"; allowed: a number/],
  ["G6", "-0 for a number", shell("--priority", "-0"), /--priority is "-0"; allowed: a number/],
  ["G6", "2^53+1 for a limit", shell("--memory", "9007199254740993"), /limits\.memory_mb is about 9007199254740992/],
  ["G7", "an unknown field", withPayload('{"comand":"true"}'), /payload\.comand is no known field/],
  ["G7", "an unknown flag", shell("--frobnicate"), /unknown option '--frobnicate'/],
  ["G7", "a missing field", withPayload("{}"), /payload must have exactly one of command/],
  ...["", longest, "../../x", "a b", "🙂", "';--"].map(
    (id) => ["G8", `the id ${JSON.stringify(id.slice(0, 20))}`, shell("--task-id", id), /task_id .*1 to 63/] as const,
  ),
  ["G8", "the id -leading", shell("--task-id=-leading"), /task_id is "-leading", must be 1 to 63/],
  ["G8", "the tenant ../x", shell("--tenant", "../x"), /tenant_id .*1 to 63/],
  ["G8", "another's id to look at", ["get", "../../x"], /task id is "\.\.\/\.\.\/x"; allowed: 1 to 63/],
  ["G8", "another's tenant to look at", ["get", "x", "--tenant", "a b"], /--tenant is "a b"; allowed: 1 to 63/],
  ...images.map(
    (image) =>
      [
        "G17",
        `the image ${image.slice(0, 20)}`,
        shell(`--image=${image}`),
        /policy_denied: image ".*" is not/,
      ] as const,
  ),
  ...["privileged", "mounts", "network", "cap_add", "devices", "pid"].map(
    (field) =>
      [
        "G18",
        `the field ${field}`,
        withPayload(JSON.stringify({ command: "true", [field]: "host" })),
        new RegExp(`payload\\.${field} is no known field`),
      ] as const,
  ),
  ...["--privileged", "--mount=/:/host", "--network=host", "--cap-add=ALL", "--device=/dev/kvm", "--pid=host"].map(
    (flag) => ["G18", `the flag ${flag}`, shell(flag), /unknown option '--/] as const,
  ),
  ["G18", "a runtime with an argument", shell("--runtime", "runc --x"), /policy_denied: runtime "runc --x" is not/],
  ["G20", "a variable without a name", shell("--env", "=x"), /--env is "=x"; allowed: NAME=VALUE/],
  ["G20", "a variable named with a space", shell("--env", "A B=x"), /env has "A B", names are/],
  ["G20", "a variable named with a line end", shell("--env", "A\n=x"), /env has "A\\n", names are/],
  ["G20", "20,000 variables", shell(...manyVariables), /validation: env /],
  ...["../*", "other/DB_URL", "*"].map(
    (name) =>
      ["G22", `the secret ${name}`, shell("--secret", name), /policy_denied: the name of a secret must be/] as const,
  ),
  ["G23", "a callback", shell("--callback-url", "http://169.254.169.254/"), /unknown option '--callback-url'/],
  ["G24", "a log of dots", ["logs", "..%2f..%2fetc"], /task id is "\.\.%2f\.\.%2fetc"; allowed/],
  ["G24", "files of a question", ["artifacts", "ls", "x?tenant_id=other"], /task id is .*; allowed: 1 to 63/],
  ["G34", "a settings file that is none of ours", ["--config", "/etc/shadow", "ps"], /unknown option '--config'/],
  ["G34", "a payload from a file that is none of ours", withPayload("@/etc/shadow"), /@\/etc\/shadow is no JSON in/],
  ["G34", "the file -", shell("--file", "-"), /--file: -: there is no such file/],
  ["G34", "a verb that steers a terminal", ["\u001b]0;x\u0007"], /unknown command/],
  ["G34", "an id that steers a terminal", ["get", "\u001b[2J"], /task id is "\\u001b\[2J"; allowed/],
  ["G34", "a flag that steers a terminal", shell("--\u001b[31m"), /unknown option/],
];

type Both = readonly [row: string, name: string, tasks: number, act: (on: ServedGround, way: Way) => Promise<void>];

const both: readonly Both[] = [
  ...[-1, 0, 1].map(
    (more): Both => [
      "G3",
      `1 MiB and ${more} bytes of input`,
      1,
      async (on, way) => {
        const stdin = Buffer.alloc(1024 * 1024 + more, "x");
        const end = await run(on, way, ["run", "shell", "--stdin", "--", "wc -c"], { stdin });
        expect(end).toMatchObject({ code: 0, stdout: `${stdin.length}\n` });
      },
    ],
  ),
  [
    "G8",
    "upper and lower case are two ids",
    2,
    async (on, way) => {
      const id = freshId("G8");
      for (const each of [id, id.toUpperCase()])
        expect(await run(on, way, ["run", "shell", "--task-id", each, "--", `echo ${each}`])).toMatchObject({
          ...{ code: 0, stdout: `${each}\n` },
        });
    },
  ],
  [
    "G9",
    "the same call eight times at once",
    1,
    async (on, way) => {
      const id = freshId("G9");
      const once = ["run", "shell", "--task-id", id, "-o", "json", "--", "head -c 8 /dev/urandom | base64"];
      const ends = await Promise.all(Array.from({ length: 8 }, () => run(on, way, once)));
      expect(new Set(ends.map(({ code, stdout }) => `${code} ${stdout}`)).size).toBe(1);
      expect(JSON.parse(ends[0]?.stdout ?? "")).toMatchObject({ reason: "ok", attempt: 1 });
    },
  ],
  [
    "G10",
    "a known id with another request, and with one that is refused",
    1,
    async (on, way) => {
      const id = freshId("G10");
      const first = await run(on, way, ["run", "shell", "--task-id", id, "-o", "json", "--", "echo first"]);
      const other = await run(on, way, ["run", "shell", "--task-id", id, "--", "echo other"]);
      expectRefused(other, /^toolx: conflict: /, 2);
      expectRefused(await run(on, way, ["run", "shell", "--task-id", id, "--pids", "0", "--", "x"]), /limits\.pids/, 2);
      expect((await run(on, way, ["get", id, "-o", "json"])).stdout).toBe(first.stdout);
    },
  ],
  [
    "G12",
    "a cancel that overtakes its task, twice, and one after the end",
    1,
    async (on, way) => {
      const id = freshId("G12");
      for (const _time of [1, 2]) expect((await run(on, way, ["cancel", id])).code).toBe(0);
      const end = await run(on, way, ["run", "shell", "--task-id", id, "-o", "json", "--", "sleep 60"]);
      expect([end.code, JSON.parse(end.stdout).reason]).toEqual([130, "cancelled"]);
      expect((await run(on, way, ["cancel", id])).stderr).toBe(`${id} has ended already (cancelled)\n`);
    },
  ],
  [
    "G12",
    "a cancel of a task that runs ends it",
    1,
    async (on, way) => {
      const id = freshId("G12");
      const task = start(on, way, ["run", "shell", "--task-id", id, "--", "echo ready; sleep 60"]);
      await printed(task, "ready");
      expect((await run(on, way, ["cancel", id])).code).toBe(0);
      expect((await task.ended()).code).toBe(130);
    },
  ],
  [
    "G12",
    "a cancel of nobody's and of another tenant's task has no effect on ours",
    1,
    async (on, way) => {
      const id = freshId("G12");
      const first = await run(on, way, ["run", "shell", "--task-id", id, "-o", "json", "--", "true"]);
      expect((await run(on, way, ["cancel", "nobody"])).code).toBe(0);
      // A key is one tenant's; the own data folder has no walls inside.
      expect((await run(on, way, ["cancel", id, "--tenant", "other"])).code).toBe(way === "here" ? 0 : 2);
      expect((await run(on, way, ["get", id, "-o", "json"])).stdout).toBe(first.stdout);
    },
  ],
  [
    "G20",
    "a variable that the dynamic linker reads",
    1,
    async (on, way) => {
      const args = ["run", "shell", "--env", "LD_PRELOAD=/nowhere.so", "--", "echo $LD_PRELOAD"];
      expect(await run(on, way, args)).toMatchObject({ code: 0, stdout: "/nowhere.so\n" });
    },
  ],
  [
    "G24",
    "artifacts by names that lead elsewhere",
    1,
    async (on, way) => {
      const id = freshId("G24");
      await run(on, way, ["run", "shell", "--task-id", id, "--", "echo kept >/output/kept"]);
      for (const name of ["../../etc/passwd", "/etc/passwd", "..%2fkept", "kept/", "./kept"]) {
        const end = await run(on, way, ["artifacts", "pull", id, name, "--out", `out-${id}`]);
        expectRefused(end, /^toolx: validation: /, 2);
      }
      expect((await run(on, way, ["artifacts", "pull", id, "kept", "--out", `out-${id}`])).code).toBe(0);
      expect(await readFile(join(on.other.workDir, `out-${id}`, "kept"), "utf8")).toBe("kept\n");
    },
  ],
  [
    "G34",
    "a command that begins with a dash is a command",
    1,
    async (on, way) => {
      const end = await run(on, way, ["run", "shell", "--", "-x"]);
      expect(end).toMatchObject({ code: 127, stderr: expect.stringContaining("-x: command not found") });
    },
  ],
  [
    "G34",
    "an argument that begins with a dash is an argument",
    1,
    async (on, way) => {
      const end = await run(on, way, ["run", "shell", "--", "printf", "%s", "--privileged"]);
      expect(end).toMatchObject({ code: 0, stdout: "--privileged" });
    },
  ],
];

const door = (id: string, name: string, tasks: number, act: DoorCase["act"]): DoorCase => ({ id, name, tasks, act });

const onServer: readonly DoorCase[] = [
  door("G4", "input of 5 MB is more than a request takes, and it is said what to do", 0, async (on) => {
    const stdin = Buffer.alloc(5_000_000, "x");
    const end = await run(on, "on a server", ["run", "shell", "--stdin", "--", "wc -c"], { stdin });
    expectRefused(end, /--stdin: .* longer than 4194304 bytes\n {2}hint: give it as a file/, 2);
  }),
  ...(["forged", "of nobody", "of no kind", "none"] as const).map((kind) =>
    door("G26", `a key that is ${kind}`, 0, async (on) => {
      const { acme } = on.keys;
      const keys = {
        forged: `${acme.slice(0, -1)}${acme.endsWith("A") ? "B" : "A"}`,
        "of nobody": `tx_${"0".repeat(12)}_${"a".repeat(43)}`,
        "of no kind": "eyJhbGciOiJub25lIn0.eyJ0ZW5hbnQiOiJhY21lIn0.",
        none: "",
      };
      const end = await run(on, "on a server", ["get", "kept"], { env: { TOOL_EXECUTOR_API_KEY: keys[kind] } });
      expectRefused(
        end,
        kind === "of no kind" ? /TOOL_EXECUTOR_API_KEY .*must be a key/ : /policy_denied: .*API key/,
        2,
      );
      if (kind !== "none") expect(end.stderr).not.toContain(keys[kind].slice(-20));
    }),
  ),
  door("G26", "another tenant's task is as one that nobody has", 0, async (on) => {
    for (const verb of [["get"], ["logs"], ["artifacts", "ls"]]) {
      const [theirs, nobodys] = [
        await run(on, "on a server", [...verb, "kept"]),
        await run(on, "on a server", [...verb, "nobody"]),
      ];
      expect(theirs.code).toBe(2);
      expect(theirs.stderr.replaceAll("kept", "nobody")).toBe(nobodys.stderr);
    }
    const named = await run(on, "on a server", ["get", "kept", "--tenant", "other"]);
    expectRefused(named, /policy_denied: tenant_id is another tenant's/, 2);
  }),
  door("G33", "who is killed while the task runs, and asks again, finds the same task", 1, async (on) => {
    const id = freshId("G33");
    const args = ["run", "shell", "--task-id", id, "--", "echo ready; sleep 2; echo done"];
    const killed = start(on, "on a server", args);
    await printed(killed, "ready");
    killed.child.kill("SIGKILL");
    await once(killed.child, "exit");
    const again = await run(on, "on a server", [...args.slice(0, 4), "-o", "json", ...args.slice(4)]);
    expect(JSON.parse(again.stdout), again.stdout).toMatchObject({
      reason: "ok",
      attempt: 1,
      output: { stdout: "ready\ndone\n" },
    });
  }),
  door("G32", "the list of settings holds no secret", 0, async (on) => {
    const password = "hunter2-of-the-tests";
    const env = {
      DATABASE_URL: `postgres://u:${password}@localhost/d`,
      REDIS_URL: `redis://:${password}@localhost`,
      ...{ S3_ENDPOINT: "http://localhost:9000", S3_BUCKET: "bucket", S3_ACCESS_KEY: "k", S3_SECRET_KEY: password },
    };
    for (const args of [
      ["config", "show"],
      ["config", "show", "-o", "json"],
    ]) {
      const end = await run(on, "on a server", args, { env });
      expect(end.stdout).toContain("DATABASE_URL");
      expect(end.stdout).not.toContain(password);
    }
  }),
  ...strangeAnswers.map(([row, name, answer]) =>
    door(row, `a server that answers with ${name}`, 0, async (on) => {
      await using strange = await strangeServer(answer);
      const end = await run(on, "on a server", ["ps"], { env: { TOOL_EXECUTOR_URL: strange.url } });
      expectRefused(end, /^toolx: /, [2, 125].find((code) => code === end.code) ?? 125);
    }),
  ),
];

const cases: readonly DoorCase[] = [
  ...ways.flatMap((way) => [
    ...refused.map(([id, name, args, pattern]) =>
      door(id, `${name}, ${way}`, 0, async (on) => expectRefused(await run(on, way, args), pattern, 2)),
    ),
    ...both.map(([id, name, tasks, act]) => door(id, `${name}, ${way}`, tasks, (on) => act(on, way))),
  ]),
  ...onServer,
];

beforeAll(async () => {
  for (const [name, text] of Object.entries(files)) await writeFile(join(ground().other.workDir, name), text());
});

test.each(cases)("$id $name", async (one) => {
  total.started({ id: one.id, inputs: 1 });
  await ground().hold(one);
  total.green({ id: one.id, inputs: 1 }, null);
});

afterAll(() => {
  const { elsewhere, notApplicable } = payloadRows("cli", "test/e2e/hostile-cli.test.ts");
  process.stdout.write(`on the command line\n${total.text(notApplicable, elsewhere)}\n`);
});
