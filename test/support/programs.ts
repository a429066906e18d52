import type { JsonValue } from "../../src/model/task.ts";

/** A program of the code interpreter, and what is to be seen of it. */
export interface Program {
  readonly says: string;
  readonly code: string;
  /** Part of its output, its errors or `exit CODE`, so that a program which does not do its trick is found out. */
  readonly prints: string;
  /** Of its last expression; undefined: nothing is noted. */
  readonly value?: JsonValue;
}

/** They get the arguments `a` and `b c` and the lines `one` and `two` on standard input. */
export const programs: Readonly<Record<"python" | "node", readonly Program[]>> = {
  python: [
    { says: "nothing at all", code: "", prints: "exit 0" },
    { says: "an expression", code: "6*7", prints: "exit 0", value: 42 },
    { says: "an expression after statements", code: "x = 5; x * 2", prints: "exit 0", value: 10 },
    { says: "a text alone", code: '"""doc"""', prints: "exit 0", value: "doc" },
    { says: "a print", code: "print('hi')", prints: "hi\nexit 0" },
    {
      says: "what it knows of itself",
      code: `import sys, os
print(sys.argv, sys.orig_argv, sys.path[0], os.getcwd(), __name__, __file__, sorted(globals()), sys.flags)
print(__spec__, __doc__, __package__, __cached__, __annotations__, type(__loader__), __loader__.path, __builtins__)
print(sorted(sys.modules), sys.getrecursionlimit(), sys.modules["__main__"].__dict__ is globals())`,
      prints: "['/workspace/.toolx.py', 'a', 'b c'] ['python3', '/workspace/.toolx.py', 'a', 'b c'] /workspace",
    },
    { says: "standard input", code: "print(input(), input())\ninput()", prints: "EOFError: EOF when reading a line" },
    {
      says: "an error in functions, with its cause",
      code: `def inner():
    return {}["missing"]

def outer():
    try:
        inner()
    except KeyError as error:
        raise ValueError("no such thing") from error

outer()`,
      prints: 'File "/workspace/.toolx.py", line 10, in <module>\n    outer()\n',
    },
    {
      says: "an error in the last expression",
      code: "x = 1\n(x +\n None)",
      prints: "line 2, in <module>\n    (x +\n     ^^^",
    },
    { says: "an error before it", code: "x = 1\ny = x.nothing\ny", prints: "AttributeError: 'int' object has no" },
    { says: "a syntax error", code: "x = 1\ndef f(:\n  pass", prints: "    def f(:\n          ^\nSyntaxError" },
    { says: "a syntax error found late", code: "x = 1\nreturn x", prints: "SyntaxError: 'return' outside function" },
    { says: "a NUL", code: "x = 1\0; x", prints: "exit 0" },
    { says: "another encoding", code: "# coding: latin-1\nprint(ascii('é'))\n'é'", prints: "xa9", value: "Ã©" },
    {
      says: "a warning of the compiler",
      code: "x = 1\nx is 5",
      prints: 'SyntaxWarning: "is" with a literal',
      value: false,
    },
    { says: "a future import", code: "from __future__ import annotations\n(lambda: 1)()", prints: "exit 0", value: 1 },
    { says: "sys.exit with a code", code: "import sys\nsys.exit(3)", prints: "exit 3" },
    { says: "sys.exit with a text", code: "import sys\nsys.exit('so')", prints: "so\nexit 1" },
    { says: "os._exit", code: "import os\nos._exit(5)\n1", prints: "exit 5" },
    {
      says: "an interrupt",
      code: "import signal\nsignal.raise_signal(signal.SIGINT)",
      prints: "KeyboardInterrupt\nexit 130",
    },
    { says: "a signal", code: "import os\nos.kill(os.getpid(), 9)", prints: "exit 137" },
    {
      says: "an excepthook of its own that fails",
      code: "import sys\ndef hook(*_):\n    print('hook'); 1/0\nsys.excepthook = hook\nraise KeyError('x')",
      prints: "Original exception was:\nTraceback (most recent call last):\n  File",
    },
    {
      says: "the order of its end",
      code: `import atexit, threading, time
class Last:
    def __del__(self): print("deleted")
kept = Last()
atexit.register(print, "at exit")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
print("main")
[1]`,
      prints: "main\nthread\nat exit\ndeleted\n",
      value: [1],
    },
    {
      says: "processes by fork and by spawn",
      code: `import multiprocessing
def square(x): return x * x
if __name__ == "__main__":
    for way in ("fork", "spawn"):
        with multiprocessing.get_context(way).Pool(2) as pool: print(way, pool.map(square, [1, 2]))
"once"`,
      prints: "fork [1, 4]\nspawn [1, 4]\n",
      value: "once",
    },
    {
      says: "a fork that goes on by itself",
      code: "import os\nchild = os.fork()\nif child: os.waitpid(child, 0)\nprint(child > 0)\nchild > 0",
      prints: "False\nTrue\n",
      value: true,
    },
    {
      says: "children's ends that it listens for",
      code: `import signal
signal.signal(signal.SIGCHLD, lambda *_: print("a child"))
print("ready")
object`,
      prints: "ready\nexit 0",
      value: "<class 'object'>",
    },
    {
      says: "values that say things while they are shown",
      code: `import os
class Loud:
    def __repr__(self):
        print("repr"); os.write(2, b"raw"); return "loud"
(Loud(), 1)`,
      prints: "exit 0",
      value: "(loud, 1)",
    },
    { says: "a value that raises", code: "class A:\n  def __repr__(self): raise SystemExit(3)\nA()", prints: "exit 0" },
    {
      says: "plain data",
      code: "{'a': [1, 2.5, None, True], 3: ('é', '\\n')}",
      prints: "exit 0",
      value: { a: [1, 2.5, null, true], 3: ["é", "\n"] },
    },
    {
      says: "what JSON cannot hold",
      code: "[float('nan'), 2**60]",
      prints: "exit 0",
      value: "[nan, 1152921504606846976]",
    },
    { says: "half a surrogate pair", code: "'\\ud800'", prints: "exit 0", value: "\\ud800" },
    { says: "a list that holds itself", code: "x = []; x.append(x); x", prints: "exit 0", value: "[[[[[...]]]]]" },
    {
      says: "a long text",
      code: "'x' * 70_000",
      prints: "exit 0",
      value: `${"x".repeat(4096)}… (65904 more characters)`,
    },
    {
      says: "numbers of numpy",
      code: "import numpy\n{'sum': numpy.arange(4).sum(), 'all': numpy.eye(2)}",
      prints: "exit 0",
      value: {
        sum: 6,
        all: [
          [1, 0],
          [0, 1],
        ],
      },
    },
    {
      says: "a program that deletes everything",
      code: "import builtins, os\nfor name in list(globals()): del globals()[name]\n",
      prints: "exit 0",
    },
    { says: "broken output", code: "import os\nos.close(1); os.close(2)\n1", prints: "exit ", value: 1 },
  ],
  node: [
    { says: "nothing at all", code: "", prints: "exit 0" },
    { says: "an expression", code: "6*7", prints: "exit 0", value: 42 },
    { says: "an expression after statements", code: "const x = 5; x * 2;", prints: "exit 0", value: 10 },
    { says: "a print", code: "console.log('hi')", prints: "hi\nexit 0" },
    {
      says: "what it knows of itself",
      code: `console.log(process.argv, process.execArgv, __filename, __dirname, process.cwd(), require.main === module, this === exports);
console.log(Object.keys(require.cache), module.children, module.paths, Object.keys(globalThis), process.eventNames());
const all = { answer: 42 };

all`,
      prints:
        "[ '/usr/local/bin/node', '/workspace/.toolx.js', 'a', 'b c' ] [] /workspace/.toolx.js /workspace /workspace true true",
      value: { answer: 42 },
    },
    { says: "standard input", code: "process.stdin.pipe(process.stdout);\nundefined", prints: "one\ntwo\nexit 0" },
    {
      says: "an error in functions, with its cause",
      code: `function inner() {
  return null.missing;
}
function outer() {
  try {
    inner();
  } catch (cause) {
    throw new Error("no such thing", { cause });
  }
}
outer();`,
      prints: "at Object.<anonymous> (/workspace/.toolx.js:11:1)",
    },
    {
      says: "an error in the last expression",
      code: "const x = 1;\nx.y\n  .z;",
      prints: "/workspace/.toolx.js:3\n  .z;\n   ^",
    },
    {
      says: "an error in its callback",
      code: "const xs = [1];\n\nxs.map((x) => x.y.z)",
      prints: "/workspace/.toolx.js:3:19",
    },
    {
      says: "an error before it",
      code: "const x = 1;\nx.y.z;\n// then\nx",
      prints: "/workspace/.toolx.js:2\nx.y.z;\n    ^",
    },
    {
      says: "a syntax error",
      code: "const x = (;\nx",
      prints: "/workspace/.toolx.js:1\nconst x = (;\n           ^\n\nSyntaxError",
    },
    {
      says: "a module",
      code: "import { basename } from 'node:path';\nconst f = async () => basename('/a/b');\n\nawait f();",
      prints: "exit 0",
      value: "b",
    },
    {
      says: "an error in a module",
      code: "import 'node:fs';\nawait 0;\nnull.x;",
      prints: "at file:///workspace/.toolx.js:3:6",
    },
    { says: "a module that waits for nothing", code: "await new Promise(() => {});\n\n1", prints: "exit 13" },
    { says: "process.exit", code: "setTimeout(() => process.exit(4), 5);\n1", prints: "exit 4" },
    { says: "process.exit before it", code: "process.exit(5);\n1", prints: "exit 5" },
    { says: "a signal", code: "process.kill(process.pid, 'SIGKILL');\n1", prints: "exit 137" },
    {
      says: "a rejection that nobody takes",
      code: "const fail = () => Promise.reject(new Error('no'));\n\nfail();",
      prints: "Error: no\n    at fail (/workspace/.toolx.js:1:35)",
    },
    {
      says: "a rejection taken late",
      code: "process.on('unhandledRejection', (e) => console.log('unhandled', e));\nconst p = Promise.reject(1);\np",
      prints: "unhandled 1\nexit 0",
    },
    {
      says: "the value of a promise",
      code: "async function main() {\n  await null;\n  return { rows: 3 };\n}\nmain();",
      prints: "exit 0",
      value: { rows: 3 },
    },
    {
      says: "the order of its end",
      code: `process.on("exit", (code) => console.log("exit", code));
process.on("beforeExit", () => console.log("before"));
Promise.resolve().then(() => console.log("promise"));
process.nextTick(() => console.log("tick"));
setImmediate(() => console.log("immediate"));
console.log("main");
[1].concat(2)`,
      prints: "main\ntick\npromise\nimmediate\nbefore\nexit 0\n",
      value: [1, 2],
    },
    {
      says: "threads and children",
      code: `const { Worker } = require("node:worker_threads");
const { fork } = require("node:child_process");
require("node:fs").writeFileSync("made", "console.log('child', process.execArgv)");
const script = "require('node:worker_threads').parentPort.postMessage(process.execArgv)";
new Worker(script, { eval: true }).on("message", (said) => {
  console.log("thread", said);
  fork("./made");
});
"once"`,
      prints: "thread []\nchild []\n",
      value: "once",
    },
    { says: "no semicolons", code: "const xs = [3, 1]\nconst y = xs\n[0]\ny", prints: "exit 0", value: 3 },
    {
      says: "a call that is not two statements",
      code: "const f = (g) => () => g\nconst h = f\n(1)\nh()",
      prints: "exit 0",
      value: 1,
    },
    {
      says: "comments and texts that look like code",
      code: "const t = `\n1;\n`; // x; y\n/* a;\nb */\nt.length; // done; now",
      prints: "exit 0",
      value: 4,
    },
    { says: "no expression at the end", code: "let\nx = 5\nif (x)\n  x++\nelse\n  x--", prints: "exit 0" },
    {
      says: "strict code",
      code: "'use strict';\nconst f = function () { return this; };\nf() === undefined",
      prints: "exit 0",
      value: true,
    },
    {
      says: "objects with code of their own",
      code: "const o = { get x() { console.log('get'); return 1; }, toJSON() { console.log('json'); } };\no",
      prints: "exit 0",
      value: "{ x: [Getter], toJSON: [Function: toJSON] }",
    },
    { says: "a map", code: "new Map([['a', 1n]])", prints: "exit 0", value: "Map(1) { 'a' => 1n }" },
    {
      says: "an object that holds itself",
      code: "const o = {};\no.o = o;\no",
      prints: "exit 0",
      value: "<ref *1> { o: [Circular *1] }",
    },
    {
      says: "a long text",
      code: "'x'.repeat(70_000)",
      prints: "exit 0",
      value: `${"x".repeat(4096)}… (65904 more characters)`,
    },
    {
      says: "a first line for a shell",
      code: "#!/usr/bin/env node\nconst x = 2;\nx ** 5",
      prints: "exit 0",
      value: 32,
    },
    { says: "a name that we would take", code: "const $value = 1;\n$value + 1", prints: "exit 0", value: 2 },
  ],
};
