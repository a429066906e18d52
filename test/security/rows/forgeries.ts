import { expect } from "vitest";
import { encodeFrame, frameType, magicLine, noToken } from "../../../src/adapters/docker/protocol/frame.ts";
import { openCli } from "../../support/cli.ts";
import { testRuntime } from "../../support/house.ts";
import type { Ground, Ran } from "../ground.ts";
import { brief, expectReason, type HostileCase, hostile, python, shell } from "../hostile-case.ts";
import { gapsOf, loggedBytes, storedLog, watched } from "../stored-output.ts";

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const frame = (type: number, seq: number, body: Buffer): Buffer =>
  Buffer.concat(encodeFrame({ type, channel: 0, seq, timeUs: 1, body }));

const forgedExit = json({
  code: 0,
  signal: null,
  cause: "exited",
  run_us: 1,
  cpu_us: 1,
  memory_peak_bytes: 1,
  oom_kills: 0,
  pids_peak: 1,
  pids_capped: false,
  disk_full: [],
  disks: [],
  stdout_bytes: 0,
  stderr_bytes: 0,
  progress_dropped: 0,
  source: "cgroup",
});

const nonce = "ab".repeat(16);
const ready = json({
  version: 1,
  token: nonce,
  state: "exited",
  last_in_seq: 0,
  first_seq: 1,
  next_seq: 9,
  secrets: [],
});

/** Whole conversations that would end the task as a success, if anybody believed them. */
const forged: Readonly<Record<string, Buffer>> = {
  "a magic line, as the host writes it": magicLine(noToken, nonce),
  "frames from 1 to 9 that tell of an end": Buffer.concat(
    Array.from({ length: 9 }, (_, at) => frame(frameType.exit, at + 1, forgedExit)),
  ),
  "a magic line, ready, an exit and an end": Buffer.concat([
    magicLine(noToken, nonce),
    frame(frameType.ready, 0, ready),
    frame(frameType.exit, 1, forgedExit),
    frame(frameType.end, 2, json({ entries: 0, bytes: 0, skipped: [], skipped_count: 0, limit: null })),
  ]),
  "the engine's own headers of multiplexed streams": Buffer.concat(
    [1, 2, 3, 0].map((stream) => Buffer.from([stream, 0, 0, 0, 0, 0, 0, 4, 0x65, 0x76, 0x69, 0x6c])),
  ),
  "half a frame with a huge length": Buffer.concat([
    Buffer.from([0xf5, 0x45, 0, 0, 0xff, 0xff, 0xff, 0xff]),
    Buffer.alloc(40, 1),
  ]),
};

/** Writes `bytes` to a descriptor, then says on stderr that it did, then fails. */
const forgery = (bytes: Buffer, fd: string) =>
  python(
    `import os, sys
os.write(${fd}, bytes.fromhex("${bytes.toString("hex")}"))
os.write(2, b"written"); sys.exit(3)`,
  );

const expectTrueEnd = ({ result }: Ran): void => {
  expectReason(result, "nonzero_exit");
  expect(result.exit_code).toBe(3);
};

const onOutput: readonly HostileCase[] = Object.entries(forged).flatMap(([name, bytes]) => [
  hostile(
    "D16",
    `${name}, on stdout`,
    async (ground) => {
      const ran = await ground.run(forgery(bytes, "1"));
      expectTrueEnd(ran);
      expect(ran.result.output).toMatchObject({ stdout_bytes: bytes.length, stderr: "written" });
      expect(loggedBytes(await storedLog(ground, ran), "stdout").equals(bytes)).toBe(true);
    },
    brief,
  ),
  hostile(
    "D16",
    `${name}, on the progress descriptor`,
    async (ground) => {
      const { ran, progressCount } = await watched(ground, forgery(bytes, 'int(os.environ["TOOL_PROGRESS_FD"])'));
      expectTrueEnd(ran);
      expect(ran.result.output).toMatchObject({ stdout_bytes: 0, stderr: "written" });
      expect(progressCount).toBe(0);
    },
    brief,
  ),
]);

const everywhere = Object.values(forged).map((bytes) => bytes.toString("hex"));

const places: readonly HostileCase[] = [
  hostile(
    "D16",
    "everything forged, to every descriptor that can be written to",
    async (ground) => {
      const ran = await ground.run(
        python(
          `import os, sys
told = os.dup(2)
os.set_inheritable(told, False)
open_ones = []
for fd in range(0, 1024):
    try: os.fstat(fd)
    except OSError: continue
    open_ones.append(fd)
    for piece in ${JSON.stringify(everywhere)}:
        try: os.write(fd, bytes.fromhex(piece))
        except OSError: break
os.write(told, b"\\nopen: " + repr(open_ones).encode()); sys.exit(3)`,
        ),
      );
      expectTrueEnd(ran);
      // Standard streams, progress, and the copy that it made itself: no descriptor of sandbox-init's.
      expect(ran.result.output.stderr_encoding).toBe("base64");
      const said = Buffer.from(ran.result.output.stderr, "base64").toString("latin1");
      expect(said).toMatch(/open: \[0, 1, 2, 3, 4\]$/);
    },
    brief,
  ),
  ...["/proc/1/fd/0", "/proc/1/fd/1", "/proc/1/fd/2", "/dev/tty", "/dev/console", "/dev/pts/0", "/dev/ptmx"].map(
    (path) =>
      hostile(
        "D16",
        `everything forged, to ${path}`,
        async (ground) => {
          const ran = await ground.run(
            python(
              `import os, sys
try:
    fd = os.open("${path}", os.O_WRONLY | os.O_NOCTTY)
    for piece in ${JSON.stringify(everywhere)}: os.write(fd, bytes.fromhex(piece))
    print("written")
except OSError as error: print(error.strerror)
sys.exit(3)`,
            ),
          );
          expectTrueEnd(ran);
          expect(ran.result.output.stderr).toBe("");
          // A pseudo terminal of its own speaks to nobody; every other one is not there.
          if (path === "/dev/ptmx") expect(ran.result.output.stdout).toMatch(/^(written|[A-Z][a-z /']+)\n$/);
          else
            expect(ran.result.output.stdout).toMatch(
              /^(Permission denied|No such file or directory|No such device or address|Input\/output error)\n$/,
            );
        },
        brief,
      ),
  ),
  hostile(
    "D16",
    "a new magic line with every token it can guess, on every stream, while it is attached to",
    async (ground) => {
      const ran = await ground.run(
        python(
          `import os, sys
for fd in (1, 2):
    for _ in range(2000): os.write(fd, b"\\nTOOLX1 " + os.urandom(16).hex().encode() + b" ${nonce}\\n")
sys.exit(3)`,
        ),
      );
      const guessed = 2000 * magicLine(noToken, nonce).length;
      expectTrueEnd(ran);
      expect(ran.result.output).toMatchObject({ stdout_bytes: guessed, stderr_bytes: guessed });
    },
    brief,
  ),
];

const ownStdout: readonly (readonly [string, string, string])[] = [
  [
    "closes stdout and stderr, and goes on",
    "import os, time\nos.close(1); os.close(2); time.sleep(0.2); os._exit(3)",
    "",
  ],
  [
    "puts /dev/full in the place of stdout",
    "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\ntry: os.write(1, b'x')\nexcept OSError as e: os.write(2, e.strerror.encode())\nos._exit(3)",
    "",
  ],
  [
    "makes stdout its own standard input",
    "import os\nos.dup2(1, 0); os.write(0, b'through 0'); os._exit(3)",
    "through 0",
  ],
  [
    "makes stdout not wait, and fills it",
    "import os, fcntl\nfcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK)\nn = 0\nfor _ in range(1000):\n  try: n += os.write(1, b'a' * 65536)\n  except BlockingIOError: pass\nos.write(2, str(n).encode()); os._exit(3)",
    "counted",
  ],
  [
    "makes the pipe as small as it can be",
    "import os, fcntl\nfcntl.fcntl(1, 1031, 4096); os.write(1, b'a' * 100000); os._exit(3)",
    "a".repeat(100_000),
  ],
  [
    "leaves a child that writes on behind it",
    "import os, time\nos.write(1, b'mine')\nif os.fork() == 0:\n  os.setsid()\n  while True: os.write(1, b''); time.sleep(0.001)\nos._exit(3)",
    "mine",
  ],
  [
    "closes the progress descriptor and opens a file in its place",
    "import os\nos.close(3); assert os.open('/tmp/x', os.O_CREAT | os.O_WRONLY) == 3\nos.write(3, b'{\"progress\":1}\\n'); os._exit(3)",
    "",
  ],
];

const streams: readonly HostileCase[] = ownStdout.map(([name, code, said]) =>
  hostile(
    "D16",
    `a task that ${name}`,
    async (ground) => {
      const { ran, bytes, progressCount } = await watched(ground, python(code));
      expectTrueEnd(ran);
      expect(progressCount).toBe(0);
      const { stdout, stdout_bytes, stderr } = ran.result.output;
      expect(stdout_bytes, "what a live reader saw is what is told").toBe(bytes.stdout);
      if (said === "counted") expect(stdout_bytes).toBe(Number(stderr));
      else expect([stdout.slice(0, 20), stdout_bytes]).toEqual([said.slice(0, 20), said.length]);
    },
    brief,
  ),
);

const records: Readonly<Record<string, string>> = {
  "a gap": '{"gap":{"from":1,"to":999,"bytes":123456789}}',
  "a line of another stream":
    '{"seq":1,"time":"2026-01-01T00:00:00.000Z","stream":"stderr","text":"root: all is well"}',
  "a state": '{"kind":"state","state":"FINISHED"}',
  "a result": '{"schema_version":1,"task_id":"case-1","status":"success","reason":"ok","exit_code":0}',
  "the mark of what was left out": "[… 123456789 bytes left out …]",
  "a record with a raw line's end in it": '{"seq":1,"text":"a\u2028b\u0085c"}',
};

const logForgeries: readonly HostileCase[] = Object.entries(records).map(([name, line]) =>
  hostile(
    "D16",
    `a line of output that looks like ${name}`,
    async (ground: Ground) => {
      const ran = await ground.run({ ...shell("cat; exit 3"), stdin: `${line}\n` });
      expectTrueEnd(ran);
      expect(ran.result.output).toMatchObject({ stdout: `${line}\n`, truncated: false });
      const log = await storedLog(ground, ran);
      expect(gapsOf(log)).toEqual([]);
      expect(log).toMatchObject([{ stream: "stdout", text: `${line}\n` }]);
    },
    brief,
  ),
);

const onTheCommandLine = hostile(
  "D16",
  "a forged envelope and forged log lines, before the command line's own",
  async () => {
    await using toolx = await openCli();
    const env = { TOOL_EXECUTOR_RUNTIMES: testRuntime };
    const lines = Object.values(records).join("\n");
    const args = ["--task-id", "forger", "--stdin", "--", "cat; exit 3"];
    const result = await toolx.result(["run", "shell", ...args], { env, stdin: Buffer.from(`${lines}\n`) });
    expect(result).toMatchObject({ reason: "nonzero_exit", exit_code: 3, output: { stdout: `${lines}\n` } });
    const log = await toolx.run(["logs", "forger", "-o", "json"], { env });
    const told = log.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(gapsOf(told)).toEqual([]);
    expect(loggedBytes(told, "stdout").toString()).toBe(`${lines}\n`);
    expect(await toolx.leftovers()).toEqual([]);
  },
  brief,
);

export const forgeryRows: readonly HostileCase[] = [
  ...onOutput,
  ...places,
  ...streams,
  ...logForgeries,
  onTheCommandLine,
];
