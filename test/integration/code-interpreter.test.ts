import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { submit } from "../../src/executor/submit.ts";
import type { Result } from "../../src/model/result.ts";
import type { JsonValue } from "../../src/model/task.ts";
import { codeInterpreterTool } from "../../src/tools/code_interpreter/code-interpreter.ts";
import { type TestHouse, testHouse } from "../support/house.ts";
import { programs } from "../support/programs.ts";
import { aTask, never } from "../support/samples.ts";
import { storedArtifacts } from "../support/stored-artifacts.ts";

let house: TestHouse;
beforeAll(async () => {
  house = await testHouse();
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
});

let count = 0;
async function ran(request: Readonly<Record<string, unknown>>): Promise<Result> {
  count += 1;
  const task = house.parseTask({ task_id: `rich-${count}`, ...request });
  return submit(house.parts, task, { watcher: () => undefined, stdin: null }, never());
}

const python = (code: string, rest: object = {}): Promise<Result> =>
  ran({ tool_name: "code_interpreter", payload: { language: "python", code }, ...rest });
const node = (code: string, rest: object = {}): Promise<Result> =>
  ran({ tool_name: "code_interpreter", payload: { language: "node", code }, ...rest });

/** The files that a task kept, as text. */
async function kept(result: Result): Promise<ReadonlyMap<string, Buffer>> {
  const stored = await storedArtifacts(house.parts.objects, result);
  if (stored === null) return new Map();
  const folder = await mkdtemp(join(tmpdir(), "kept-"));
  try {
    await stored.pull(folder);
    const names = await readdir(folder, { recursive: true, withFileTypes: true });
    const files = names.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name));
    return new Map(
      await Promise.all(files.map(async (path) => [path.slice(folder.length + 1), await readFile(path)] as const)),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Runs every program twice in one sandbox, by the interpreter alone and as the tool does, and keeps what came of each. */
const twice = `
for program in /workspace/programs/*; do
  name=$(basename "$program")
  mkdir -p "/tmp/kept/$name"
  for way in alone noted; do
    rm -rf /workspace/.toolx* /workspace/made; find /output -mindepth 1 -delete
    cp "$program" "/workspace/$FILE"
    cp "$program" /workspace/beside.txt
    if [ $way = noted ]; then
      for file in /workspace/runner/*; do cp "$file" "/workspace/.toolx-$(basename "$file")"; done
      set -- $NOTED
    else
      set -- $ALONE
    fi
    printf 'one\\ntwo\\n' | (cd /workspace && exec "$@" a 'b c') >/tmp/out 2>/tmp/err
    echo \${PIPESTATUS[1]} >"/tmp/kept/$name/$way.code"
    mv /tmp/out "/tmp/kept/$name/$way.out"; mv /tmp/err "/tmp/kept/$name/$way.err"
  done
  if [ -e /output/.toolx.json ]; then mv /output/.toolx.json "/tmp/kept/$name/notes.json"; fi
done
find /output -mindepth 1 -delete
cp -r /tmp/kept/. /output/
`;

describe.each(["python", "node"] as const)("a %s program", (language) => {
  const cases = programs[language];
  let files: ReadonlyMap<string, Buffer>;

  beforeAll(async () => {
    const { command, files: given } = bothWays(language, ...cases.map(({ code }) => code));
    const result = await ran({
      ...command,
      payload: { command: twice },
      limits: { timeout_seconds: 300 },
      files: given,
    });
    expect(result).toMatchObject({ reason: "ok" });
    files = await kept(result);
  });

  test.each(cases.map((each, index) => [each.says, index, each] as const))(
    "%s: it does what it does by itself",
    (_says, index, { value, prints }) => {
      const text = (name: string): string | undefined => files.get(`${index}/${name}`)?.toString();
      expect(text("noted.out")).toBe(text("alone.out"));
      expect(text("noted.err")).toBe(text("alone.err"));
      expect(text("noted.code")).toBe(text("alone.code"));
      // What it was to show, it did show.
      expect(`${text("alone.out")}${text("alone.err")}exit ${text("alone.code")}`).toContain(prints);
      const notes = text("notes.json");
      expect(notes === undefined ? undefined : (JSON.parse(notes).value as JsonValue)).toEqual(value);
    },
  );
});

describe("the result", () => {
  test("has tables and figures, shown first, and no value for them", async () => {
    const result = await python(`
import matplotlib.pyplot as plot, pandas
plot.plot([1, 4, 9])
plot.figure(); plot.bar(["a", "b"], [1, 2])
open("/output/notes.txt", "w").write("beside")
pandas.DataFrame({"city": ["Oslo", "Rome|<b>"], "rain": [1.5, None], "days": [3, 4]}, index=["x", "y"])`);
    expect(result).toMatchObject({
      reason: "ok",
      output: {
        value: null,
        results: [
          { mime: "text/markdown", artifact: "table.md" },
          { mime: "application/json", artifact: "table.json" },
          { mime: "image/png", artifact: "figure-1.png" },
          { mime: "image/png", artifact: "figure-2.png" },
        ],
      },
    });
    const paths = result.output.artifacts.map(({ path }) => path);
    expect(paths).toEqual(["figure-1.png", "figure-2.png", "notes.txt", "table.json", "table.md"]);
    const files = await kept(result);
    expect(files.get("table.md")?.toString()).toBe(
      "|  | city | rain | days |\n| --- | --- | --- | --- |\n| x | Oslo | 1.5 | 3 |\n| y | Rome\\|&lt;b> |  | 4 |\n",
    );
    expect(JSON.parse(files.get("table.json")?.toString() ?? "")).toEqual({
      columns: ["", "city", "rain", "days"],
      rows: [
        ["x", "Oslo", 1.5, 3],
        ["y", "Rome|<b>", null, 4],
      ],
      row_count: 2,
      column_count: 4,
    });
    for (const name of ["figure-1.png", "figure-2.png"])
      expect(files.get(name)?.subarray(0, 8).toString("latin1")).toBe("\x89PNG\r\n\x1a\n");
  });

  test("has of a large table 200 rows and 50 columns, and says of how many", async () => {
    const result = await python("import numpy, pandas\npandas.DataFrame(numpy.zeros((300, 70), int))");
    const files = await kept(result);
    const table = JSON.parse(files.get("table.json")?.toString() ?? "");
    expect(table).toMatchObject({ row_count: 300, column_count: 70 });
    expect([table.rows.length, table.columns.length]).toEqual([200, 50]);
    expect(files.get("table.md")?.toString()).toMatch(/\n\n200 of 300 rows, 50 of 70 columns\n$/);
  });

  test("has a table of Node's records, and their value", async () => {
    const result = await node('const rows = [{ a: 1 }, { a: "x", b: true }];\nrows');
    expect(result.output.value).toEqual([{ a: 1 }, { a: "x", b: true }]);
    expect((await kept(result)).get("table.md")?.toString()).toBe("| a | b |\n| --- | --- |\n| 1 |  |\n| x | true |\n");
    expect(result.output.results.map(({ artifact }) => artifact)).toEqual(["table.md", "table.json"]);
  });

  test("has no second picture of a figure that the program saved itself", async () => {
    const result = await python('import matplotlib.pyplot as p; p.plot([1]); p.savefig("/output/mine.png", dpi=50)');
    expect(result.output.results).toEqual([{ mime: "image/png", artifact: "mine.png" }]);
    expect(result.output.artifacts).toHaveLength(1);
  });

  test("has a figure of at most 4 million pixels, under a name that is free", async () => {
    const result = await python(
      'import matplotlib.pyplot as p; open("/output/figure-1.png", "w").close(); p.figure(figsize=(100, 100))',
    );
    expect(result.output.results).toEqual([
      { mime: "image/png", artifact: "figure-1-2.png" },
      { mime: "image/png", artifact: "figure-1.png" },
    ]);
    const png = (await kept(result)).get("figure-1-2.png");
    const pixels = (png?.readUInt32BE(16) ?? 0) * (png?.readUInt32BE(20) ?? 0);
    expect(pixels).toBeGreaterThan(3_900_000);
    expect(pixels).toBeLessThanOrEqual(4_000_000);
  });

  test("has the program's own result.json before the value of an expression", async () => {
    const result = await python('open("/output/result.json", "w").write("[1]")');
    expect(result.output.value).toEqual([1]);
  });

  test("has no value when the program failed, and nothing is kept for a value alone", async () => {
    const [failed, valued] = [await node("process.exitCode = 3\n6*7"), await node("6*7")];
    expect(failed).toMatchObject({ reason: "nonzero_exit", exit_code: 3, output: { value: null } });
    expect(valued).toMatchObject({ reason: "ok", output: { value: 42, artifacts: [], artifacts_object: null } });
  });
});

describe("a hostile program changes nothing but its own result", () => {
  test.each([
    ["no JSON", "{"],
    ["another shape", '{"value": 1, "results": [], "more": 1}'],
    ["a kind of result that there is not", '{"value": 1, "results": [{"mime": "text/html", "artifact": "a"}]}'],
    ["too deep", `{"value": ${"[".repeat(80)}${"]".repeat(80)}, "results": []}`],
  ])("notes of its own that are %s are none", async (_what, notes) => {
    const code = `import os\nopen("/output/.toolx.json", "w").write(${JSON.stringify(notes)})\nos._exit(0)`;
    expect(await python(code)).toMatchObject({ reason: "ok", output: { value: null, results: [], artifacts: [] } });
  });

  test("notes of its own name only files that are there", async () => {
    const notes = { value: 1, results: ["../a", "b"].map((artifact) => ({ mime: "image/png", artifact })) };
    const code = `import os\nopen("/output/.toolx.json", "w").write('''${JSON.stringify(notes)}''')\nos._exit(0)`;
    expect(await python(code)).toMatchObject({ reason: "ok", output: { value: 1, results: [] } });
  });

  test("notes that are too large, or a folder, are an artifact or nothing", async () => {
    const large = 'import os\nopen("/output/.toolx.json", "w").write("1" * 300_000)\nos._exit(0)';
    expect(await python(large)).toMatchObject({
      reason: "ok",
      output: { value: null, artifacts: [{ path: ".toolx.json", size_bytes: 300_000 }] },
    });
    const folder = 'import os\nos.mkdir("/output/.toolx.json")\n6*7';
    expect(await python(folder)).toMatchObject({ reason: "ok", output: { value: null, artifacts: [] } });
  });

  test.each([
    ["loops", "python", "class Odd:\n  def __repr__(self):\n    while True: pass\nOdd()"],
    ["crashes", "python", "class Odd:\n  def __repr__(self):\n    import os; os.kill(os.getpid(), 11)\nOdd()"],
    ["grows", "python", "class Odd:\n  def __repr__(self): return 'x' * 200_000_000\nOdd()"],
    ["loops", "node", "class Odd { get [Symbol.toStringTag]() { for (;;); } }\nnew Odd()"],
    ["traps", "node", "new Proxy({}, { get() { for (;;); }, ownKeys() { for (;;); } })"],
  ])("a value that %s while it is shown, in %s", async (_does, language, code) => {
    const run = language === "python" ? python : node;
    const result = await run(code, { limits: { timeout_seconds: 4, memory_mb: 96 } });
    expect(howItEnded(result)).toBe("ok, exit 0");
    expect(result.output).toMatchObject({ stdout: "", stderr: "" });
  });

  test("a value that loops while it is shown ends in time where the interpreter was slow to start", async () => {
    const code =
      "import sitecustomize\nclass Odd:\n  def __repr__(self):\n    while True: pass\nprint(sitecustomize.held)\nOdd()";
    const slow = "import time\ntime.sleep(0.8)\nheld = 'held up'";
    const result = await python(code, {
      files: [{ path: "slow/sitecustomize.py", content_base64: Buffer.from(slow).toString("base64") }],
      env: { PYTHONPATH: "/workspace/slow" },
      limits: { timeout_seconds: 4 },
    });
    expect(howItEnded(result)).toBe("ok, exit 0");
    expect(result.output.stdout).toBe("held up\n");
  });

  test("a full /output leaves the program as it was", async () => {
    const code = "import os\nwith open('/output/fill', 'wb') as f:\n  f.write(bytes(1024 * 1024))\n6*7";
    expect(await python(code, { limits: { output_mb: 1 } })).toMatchObject({
      reason: "ok",
      output: { value: null, artifacts: [{ path: "fill", size_bytes: 1024 * 1024 }] },
    });
  });
});

test.each(["python", "node"] as const)(
  "%s: a program that prints one line takes at most 10 ms more",
  async (language) => {
    const code = language === "python" ? "print(1)" : "console.log(1)";
    const { command, files } = bothWays(language, code);
    const measure = `
for file in runner/*; do cp "$file" ".toolx-$(basename "$file")"; done; cp programs/0 "$FILE"
for round in $(seq 15); do
  for command in "$ALONE" "$NOTED"; do
    from=$(date +%s%N); $command >/dev/null; echo $(( ($(date +%s%N) - from) / 1000 ))
  done
done`;
    // The best of many: others work on the machine too.
    const alone: number[] = [];
    const noted: number[] = [];
    const more = (): number => Math.min(...noted) - Math.min(...alone);
    for (let tries = 0; tries === 0 || (tries < 3 && more() > 10_000); tries += 1) {
      const { output } = await ran({ ...command, payload: { command: measure }, files });
      const tookUs = output.stdout.trim().split("\n").map(Number);
      expect(tookUs).toHaveLength(30);
      for (const [index, each] of tookUs.entries()) (index % 2 === 0 ? alone : noted).push(each);
    }
    expect(more()).toBeLessThanOrEqual(10_000);
  },
);

/** On one line, so that a failure's first line says it. */
const howItEnded = ({ reason, exit_code, error }: Result): string =>
  `${reason}, exit ${exit_code}${error === null ? "" : `: ${error.message}`}`;

/** A shell task in the language's own image that has programs, the tool's own files, and both ways to start a program. */
function bothWays(language: "python" | "node", ...codes: readonly string[]) {
  const task = aTask({ payload: { language, code: "" }, tool_name: "code_interpreter" });
  const { argv, env, files } = codeInterpreterTool().command(task);
  const [own, ...runner] = files;
  const alone = argv.filter((argument) => !/toolx-|^--require$|^\d+$/.test(argument));
  const file = (path: string, bytes: Uint8Array) => ({ path, content_base64: Buffer.from(bytes).toString("base64") });
  return {
    command: {
      tool_name: "shell",
      image: language,
      env: { ...env, FILE: own?.path, ALONE: alone.join(" "), NOTED: argv.join(" ") },
    },
    files: [
      ...codes.map((code, index) => file(`programs/${index}`, Buffer.from(code))),
      ...runner.map(({ path, bytes }) => file(path.replace(".toolx-", "runner/"), bytes)),
    ],
  };
}
