import { PassThrough } from "node:stream";
import { pack } from "tar-stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesPerMb } from "../../src/model/limits.ts";
import type { Result } from "../../src/model/result.ts";
import { sandboxEnvironment } from "../../src/model/sandbox-environment.ts";
import type { Image, SandboxCommand } from "../../src/ports/sandbox.ts";
import { filledLimits } from "../../src/schema/task-parser.ts";
import { type TestHouse, testHouse } from "../support/house.ts";
import { never } from "../support/samples.ts";
import { warmHouse } from "../support/warm-house.ts";

let house: TestHouse;
beforeAll(async () => {
  house = await testHouse();
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
});

/** One command, and what lies in `/workspace` beside it. */
interface Case {
  readonly argv: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly limits?: object;
}

/** What is seen of a command from outside. */
interface Seen {
  readonly stdout: string;
  readonly stderr: string;
  readonly end: unknown;
}

async function seen(kind: "pool" | "cold", imageName: string, runtime: string, asked: Case): Promise<Seen> {
  const { images, sandboxes } = house.parts;
  const image = await images.resolve(imageName, never());
  if (image === null) throw new Error(`no image ${imageName}`);
  const limits = filledLimits(asked.limits ?? {}, {}, house.config);
  const spec = { image, runtime, limits: filledLimits({}, {}, house.config) };
  await using sandbox = await sandboxes.create(kind === "pool" ? { ...spec, purpose: "pool" } : spec, never());
  await sandbox.refit(limits, never());
  const tar = pack();
  for (const [name, text] of Object.entries(asked.files ?? {})) tar.entry({ name }, text);
  tar.finalize();
  await sandbox.putFiles(tar.pipe(new PassThrough()), never());
  await sandbox.start(commandOf(asked, image), never());
  if (asked.stdin !== undefined) await sandbox.writeStdin(Buffer.from(asked.stdin), never());
  sandbox.closeStdin();
  const texts = { stdout: "", stderr: "" };
  for await (const batch of sandbox.events())
    for (const event of batch) {
      if (event.kind === "stdout" || event.kind === "stderr") texts[event.kind] += event.bytes.toString();
      if (event.kind === "exit") return { ...texts, end: [event.exit.code, event.exit.signal, event.exit.cause] };
      if (event.kind === "failed" || event.kind === "gone") return { ...texts, end: event };
      sandbox.ack(event.seq);
    }
  throw new Error("the sandbox said nothing of an end");
}

const commandOf = ({ argv, env, stdin }: Case, image: Image): SandboxCommand => ({
  ...{ argv, cwd: "/workspace", stdin: stdin !== undefined, deadlineMs: 60_000, graceMs: 1000 },
  env: { ...sandboxEnvironment(image.env), ...env },
});

const script =
  (interpreter: string, name: string) =>
  (text: string, ...args: string[]): Case => ({
    argv: [interpreter, `/workspace/${name}`, ...args],
    files: {
      [name]: text,
      "beside.py": "def fail():\n    return 1 / 0\n",
      "before.cjs": "globalThis.before = process.argv.length",
    },
  });
const python = script("python3", "program.py");
const node = script("node", "program.js");
const runtimes = ["runc", "runsc"];

describe.each(runtimes)("under %s, Python that stood ready", (runtime) => {
  const inUse = "import sys; print('pandas' in sys.modules)";

  test("runs the program, with its imports done", async () => {
    expect(await seen("pool", "python", runtime, python(inUse))).toMatchObject({ stdout: "True\n", stderr: "" });
    expect(await seen("cold", "python", runtime, python(inUse))).toMatchObject({ stdout: "False\n", stderr: "" });
  });

  const withoutIt: readonly [string, Case][] = [
    ["a variable that is read at its start", { ...python(inUse), env: { PYTHONPATH: "/workspace" } }],
    ["an option", { argv: ["python3", "-c", inUse] }],
    ["another shell around it", { argv: ["bash", "-c", `python3 -c "${inUse}"`] }],
    ...(runtime === "runc"
      ? [["other limits", { ...python(inUse), limits: { pids: 77 } }] satisfies [string, Case]]
      : []),
  ];
  test.each(withoutIt)("is left out for %s", async (_what, asked) => {
    expect(await seen("pool", "python", runtime, asked)).toEqual({
      stdout: "False\n",
      stderr: "",
      end: [0, null, "exited"],
    });
  });
});

describe.each(runtimes)("under %s, Node that stood ready", (runtime) => {
  const inUse = "console.log(/[p]rewarm/.test(require('node:fs').readFileSync('/proc/self/cmdline', 'utf8')))";

  test("runs the program", async () => {
    expect(await seen("pool", "node", runtime, node(inUse))).toMatchObject({ stdout: "true\n", stderr: "" });
    expect(await seen("cold", "node", runtime, node(inUse))).toMatchObject({ stdout: "false\n", stderr: "" });
  });

  const withoutIt: readonly [string, Case][] = [
    ["a variable that is read at its start", { ...node(inUse), env: { NODE_OPTIONS: "--no-warnings" } }],
    ["an option", { argv: ["node", "-e", inUse] }],
  ];
  test.each(withoutIt)("is left out for %s", async (_what, asked) => {
    expect(await seen("pool", "node", runtime, asked)).toMatchObject({ stdout: "false\n", stderr: "" });
  });
});

const pythonRows: readonly [string, Case][] = [
  ["its names", python("import sys; print(sorted(globals().items(), key=lambda each: each[0]))")],
  [
    "arguments",
    python("import sys; print(sys.argv, sys.orig_argv, sys.path, sys.executable, sys.flags)", "a b", "-x", ""),
  ],
  [
    "a program by a relative path",
    { ...python("import sys; print(__file__, sys.argv, sys.path)"), argv: ["python3", "program.py"] },
  ],
  [
    "environment",
    {
      ...python("import os; print(sorted(os.environ.items())); os.system('env | grep -v ^_= | sort')"),
      env: { GIVEN: "ü=1", EMPTY: "" },
    },
  ],
  [
    "folder and descriptors",
    python("import os; print(os.getcwd(), sorted(os.listdir('/proc/self/fd')), oct(os.umask(0)))"),
  ],
  [
    "an error and its cause",
    python(
      "def f():\n    raise ValueError('x')\n\ntry:\n    f()\nexcept ValueError as e:\n    raise KeyError(1) from e\n",
    ),
  ],
  ["an error in a module beside it", python("import beside\nbeside.fail()\n")],
  ["a mistake in the text", python("print('never')\nif:\n")],
  ["another encoding", python("# coding: latin-1\nprint(len('é'))\n")],
  ["a program that is not there", { argv: ["python3", "nowhere.py"] }],
  ["options", { ...python(""), argv: ["python3", "-O", "-c", "import sys; print(sys.argv, sys.flags.optimize)", "x"] }],
  ["a program on standard input", { argv: ["python3", "-"], stdin: "print(__name__)" }],
  ["exit with a number", python("import sys; sys.exit(7)")],
  ["exit with a text", python("import sys; sys.exit('so')")],
  ["a signal of its own", python("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")],
  ["an interrupt", python("import os, signal; os.kill(os.getpid(), signal.SIGINT)")],
  ["what is done at the end", python("import atexit; atexit.register(print, 'bye'); print('hi')")],
  [
    "signals",
    python(
      "import signal; print([(n, str(signal.getsignal(n))) for n in signal.valid_signals()], signal.pthread_sigmask(signal.SIG_BLOCK, []))",
    ),
  ],
  [
    "no input",
    python("import sys; print(sys.stdin.read(), sys.stdin.encoding, sys.stdout.encoding, sys.stdin.isatty())"),
  ],
  ["input", { ...python("import sys; print(sys.stdin.read())"), stdin: "typed\n" }],
  [
    "another process",
    python(
      "import multiprocessing as m\ndef f(q): q.put(__name__)\nif __name__ == '__main__':\n    c = m.get_context('spawn'); q = c.SimpleQueue(); p = c.Process(target=f, args=(q,)); p.start(); print(q.get()); p.join()\n",
    ),
  ],
  [
    "packages in the home folder",
    {
      ...python("import mine; print(mine.value)"),
      files: {
        "program.py": "import mine; print(mine.value)",
        ".local/lib/python3.11/site-packages/mine.py": "value = 3\n",
      },
    },
  ],
  [
    "pickling a class of its own",
    python("import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))))\n"),
  ],
  [
    "a frame and its sum",
    python("import pandas as pd\nprint(pd.DataFrame({'a': [1, 2, 3]}).sum().to_string(), pd.__name__)"),
  ],
  ["all the memory that it may have", python(`x = b'1' * (215 * ${bytesPerMb}); print(len(x))`)],
  ["more memory than it may have", python(`x = b'1' * (400 * ${bytesPerMb}); print(len(x))`)],
];

const nodeRows: readonly [string, Case][] = [
  [
    "its names",
    node(
      "console.log(Object.getOwnPropertyNames(globalThis).sort().join(), Object.keys(require.cache), module.parent, require.main === module, __filename, module.paths)",
    ),
  ],
  [
    "arguments",
    node(
      "console.log(process.argv, process.argv0, process.execArgv, process.execPath, process.title)",
      "a b",
      "-x",
      "",
    ),
  ],
  [
    "what is required before",
    {
      ...node("console.log(process.argv, process.execArgv, globalThis.before)"),
      argv: ["node", "--require", "./before.cjs", "program.js", "x"],
    },
  ],
  [
    "environment",
    {
      ...node(
        "console.log(Object.entries(process.env).sort()); console.log(require('child_process').execSync('env | grep -v ^_= | sort').toString())",
      ),
      env: { GIVEN: "ü=1", EMPTY: "" },
    },
  ],
  ["an error", node("function f() { throw new TypeError('x') }\nf()")],
  ["a promise that nobody waits for", node("Promise.reject(new Error('later'))")],
  ["a mistake in the text", node("console.log(1); if (")],
  [
    "a module",
    node(
      "import { sep } from 'node:path'; console.log(sep, import.meta.main, import.meta.filename, typeof require, await 3)",
    ),
  ],
  ["a module that is not there", node("import x from './nowhere.js'; console.log(x)")],
  ["an await that never ends", node("await new Promise(() => {})\nexport {}")],
  ["a program that is not there", { argv: ["node", "nowhere.js"] }],
  ["options", { argv: ["node", "-p", "process.argv.length", "x"] }],
  ["exit with a number", node("process.on('exit', (code) => console.log('bye', code)); process.exit(4)")],
  ["a signal of its own", node("process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 5000)")],
  [
    "no input",
    node(
      "process.stdin.on('data', (d) => console.log(String(d))).on('end', () => console.log('end', process.stdin.constructor.name))",
    ),
  ],
  ["input", { ...node("console.log(require('fs').readFileSync(0, 'utf8'))"), stdin: "typed\n" }],
  [
    "a thread",
    node(
      "const w = require('worker_threads'); if (w.isMainThread) new w.Worker(__filename).on('message', (m) => console.log(m)); else w.parentPort.postMessage([process.argv.length, process.execArgv])",
    ),
  ],
  [
    "another process",
    node(
      "const c = require('child_process'); if (process.send) process.send(process.argv); else c.fork(__filename, ['k']).on('message', (m) => console.log(m))",
    ),
  ],
];

describe("what was started before its task cannot be told from what was started for it", () => {
  /** Node's own last two lines of a trace say where its loop stood; addresses differ from one process to the next. */
  const alike = ({ stdout, stderr, end }: Seen): Seen => ({
    stdout: stdout.replaceAll(/0x[0-9a-f]+/g, "0x"),
    stderr: stderr
      .replaceAll(/0x[0-9a-f]+/g, "0x")
      .replaceAll(/^ +at .*(executeUserEntryPoint|processImmediate|run_main_module).*?( \{)?$/gm, "$2"),
    end,
  });

  test.each(pythonRows)("Python: %s", async (_what, asked) => {
    const [warm, cold] = [await seen("pool", "python", "runc", asked), await seen("cold", "python", "runc", asked)];
    expect(alike(warm)).toEqual(alike(cold));
  });

  test.each(nodeRows)("Node: %s", async (_what, asked) => {
    const [warm, cold] = [await seen("pool", "node", "runc", asked), await seen("cold", "node", "runc", asked)];
    expect(alike(warm)).toEqual(alike(cold));
  });

  test("nothing that is drawn by lot is the same twice", async () => {
    const draw = python(
      "import random, numpy; print(random.random(), numpy.random.rand(), hash('a'), numpy.random.default_rng().random())",
    );
    const drawn = await Promise.all([1, 2].map(() => seen("pool", "python", "runc", draw)));
    const numbers = drawn.flatMap(({ stdout }) => stdout.trim().split(" "));
    expect(numbers).toHaveLength(8);
    expect(new Set(numbers).size).toBe(8);
  });
});

test("the code interpreter's tasks run in it: value, table and figure, warm as cold", {
  timeout: 120_000,
}, async () => {
  await using ready = await warmHouse(1, { TOOL_EXECUTOR_WARM_POOL_IMAGES: "python" });
  const code = "import pandas as pd\nprint('hi')\npd.DataFrame({'a': [1, 2]})";
  const rest = { tool_name: "code_interpreter", payload: { language: "python", code } };
  await ready.ready(1);
  const [warm, cold] = [await ready.run("", rest), await ready.runCold("", rest)];
  expect([warm.sandbox?.warm, cold.sandbox?.warm]).toEqual([true, false]);
  expect(warm.reason).toBe("ok");
  const whatItLeft = ({ output }: Result) => ({
    ...{ value: output.value, stdout: output.stdout, results: output.results },
    artifacts: output.artifacts.map(({ path, sha256 }) => [path, sha256]),
  });
  expect(whatItLeft(warm)).toEqual(whatItLeft(cold));
});
