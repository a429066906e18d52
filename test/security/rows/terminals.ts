import { expect } from "vitest";
import { type Cli, type CliEnd, openCli } from "../../support/cli.ts";
import { testRuntime } from "../../support/house.ts";
import { brief, type HostileCase, hostile } from "../hostile-case.ts";

const env = { TOOL_EXECUTOR_RUNTIMES: testRuntime };

/** Behind a terminal of its own: what would reach that terminal is what comes out. The line is quoted for the shell that `script` is told to use. */
const onTerminal = [
  "bash",
  "-c",
  'printf -v line "%q " "$@"; SHELL=$BASH exec script -qefc "$line" /dev/null',
  "bash",
] as const;

const terminal = (toolx: Cli, args: readonly string[]): Promise<CliEnd> =>
  toolx.run(args, { env: { ...env, TERM: "xterm" }, through: onTerminal });

/** Nothing that a terminal acts on but line ends, tabs and colour, and nothing that turns the reading direction. */
function expectInert({ stdoutBytes }: CliEnd): string {
  const text = stdoutBytes.toString("utf8").replaceAll("\r\n", "\n");
  const rest = text.replaceAll(/\x1b\[[0-9;:]*m/g, "");
  expect(rest).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/);
  return text;
}

const printf = (text: string): string => `printf '${text.replaceAll("'", "'\\''")}'`;

/** [what it would do, as printf writes it, what is seen instead] */
const sequences: readonly (readonly [string, string, string])[] = [
  ["sets the title and clears the screen", "\\033]0;x\\a\\033[2Jend", "\\x1b]0;x\\x07\\x1b[2Jend"],
  ["makes a link", "\\033]8;;http://e\\033\\\\here\\033]8;;\\033\\\\", "\\x1b]8;;http://e\\x1b\\here"],
  ["writes to the clipboard", "\\033]52;c;ZXZpbA==\\a", "\\x1b]52;c;ZXZpbA==\\x07"],
  ["asks where the cursor is", "\\033[6n", "\\x1b[6n"],
  ["asks what the terminal is", "\\033[c\\005\\033Z", "\\x1b[c\\x05\\x1bZ"],
  ["starts a device control string", "\\033P+q544e\\033\\\\", "\\x1bP+q544e\\x1b\\"],
  ["starts an application command", "\\033_Gi=1\\033\\\\", "\\x1b_Gi=1\\x1b\\"],
  ["uses C1 control characters", "\\302\\2332J\\302\\2350;x\\302\\234", "\\x9b2J\\x9d0;x\\x9c"],
  ["uses C1 bytes that are no UTF-8", "\\2332J", "\ufffd2J"],
  ["writes over its own line", "harmless\\rrm -rf\\n", "harmless\\x0drm -rf"],
  ["goes back and up", "ab\\b\\b\\033[A\\033[1;1Hxy", "ab\\x08\\x08\\x1b[A\\x1b[1;1Hxy"],
  ["resets the terminal", "\\033c\\033[!p", "\\x1bc\\x1b[!p"],
  ["goes to the other screen and hides the cursor", "\\033[?1049h\\033[?25l", "\\x1b[?1049h\\x1b[?25l"],
  ["changes the character set", "\\016\\033(0qqq\\017", "\\x0e\\x1b(0qqq\\x0f"],
  [
    "turns the reading direction",
    "user\\342\\200\\256txt.exe\\342\\201\\246x\\342\\201\\251",
    "user\\u202etxt.exe\\u2066x\\u2069",
  ],
  ["rings, feeds forms and deletes", "\\a\\f\\v\\177", "\\x07\\x0c\\x0b\\x7f"],
  ["colours with a hidden question", "\\033[31m\\033[31;6nred\\033[0m", "\u001b[31m\\x1b[31;6nred"],
];

const streams: readonly HostileCase[] = sequences.map(([what, written, shown]) =>
  hostile(
    "D6",
    `output that ${what}`,
    async () => {
      await using toolx = await openCli();
      const command = `${printf(written)}; ${printf(written)} >&2`;
      const live = expectInert(await terminal(toolx, ["run", "shell", "--task-id", "t", "--", command]));
      expect(live.split(shown).length - 1, `${live} on both streams`).toBeGreaterThanOrEqual(2);
      const later = expectInert(await terminal(toolx, ["logs", "t"]));
      expect(later).toContain(shown);
      // Into a pipe the bytes go as they are.
      const exact = await toolx.run(["run", "shell", "--", printf(written)], { env });
      const piped = await toolx.run(["logs", "t"], { env });
      expect(piped.stdoutBytes.equals(exact.stdoutBytes)).toBe(true);
      expect(exact.stdoutBytes.includes(Buffer.from(octal(written), "latin1"))).toBe(true);
      expect(exact.stdoutBytes.length).toBe(octal(written).length);
      expect(await toolx.leftovers()).toEqual([]);
    },
    brief,
  ),
);

/** What printf makes of it, a character for a byte. */
const octal = (text: string): string =>
  text.replaceAll(/\\(\d{3}|.)/g, (_, code: string) => {
    if (code.length === 3) return String.fromCharCode(Number.parseInt(code, 8));
    return { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", v: "\v", "\\": "\\" }[code] ?? code;
  });

const split = hostile(
  "D6",
  "a sequence that is split over many writes",
  async () => {
    await using toolx = await openCli();
    const command =
      "for c in '\\033' '[' '3' '1' 'm' r '\\033' ']' '0' ';' x '\\a' '\\r' y '\\302' '\\233' 2J; do printf \"$c\"; sleep 0.02; done";
    const live = expectInert(await terminal(toolx, ["run", "shell", "--", command]));
    expect(live).toContain("\u001b[31mr\\x1b]0;x\\x07\\x0dy\\x9b2J\u001b[0m");
  },
  brief,
);

const evil = "\\033]0;x\\a\\342\\200\\256gnp.exe\\nsecond";
const evilShown = "\\x1b]0;x\\x07\\u202egnp.exe\\x0asecond";

const elsewhere: readonly HostileCase[] = [
  hostile(
    "D6",
    "names of artifacts, in the summary, in ls, in an error, when they are pulled",
    async () => {
      await using toolx = await openCli();
      const command = `printf x >"/output/$(${printf(evil)})"`;
      const run = expectInert(await terminal(toolx, ["run", "shell", "--task-id", "t", "--", command]));
      expect(run).toContain(evilShown);
      expect(expectInert(await terminal(toolx, ["artifacts", "ls", "t"]))).toContain(evilShown);
      const wrong = expectInert(await terminal(toolx, ["artifacts", "pull", "t", "none"]));
      expect(wrong).toContain(evilShown);
      expect(expectInert(await terminal(toolx, ["artifacts", "pull", "t"]))).toContain("1 file in");
      expect(expectInert(await terminal(toolx, ["get", "t"]))).toContain(evilShown);
    },
    brief,
  ),
  hostile(
    "D6",
    "messages of progress",
    async () => {
      await using toolx = await openCli();
      const message = JSON.stringify({ progress: 0.5, message: "a\u001b[2J\u202eb\nc\u009b6n" });
      const command = `printf '%s\\n' '${message}' >&$TOOL_PROGRESS_FD`;
      const run = expectInert(await terminal(toolx, ["run", "shell", "--", command]));
      expect(run).toContain("50 %  a\\x1b[2J\\u202eb\\x0ac\\x9b6n");
    },
    brief,
  ),
  hostile(
    "D6",
    "the value of a program, on one line and on many",
    async () => {
      await using toolx = await openCli();
      const one = expectInert(await terminal(toolx, ["run", "python", "-c", "'a\\x1b[2J\\u202eb\\x9b6n'"]));
      expect(one).toContain("value: a\\x1b[2J\\u202eb\\x9b6n");
      const many = expectInert(await terminal(toolx, ["run", "python", "-c", "'\\x1b]0;x\\x07\\n\\r' * 3"]));
      expect(many).toContain("\\x1b]0;x\\x07\n");
    },
    brief,
  ),
  ...(
    [
      ["a task's id", ["run", "shell", "--task-id", "\u001b]0;x\u0007", "--", "true"]],
      ["a tool's name", ["run", "\u001b]0;x\u0007\u202e", "--", "true"]],
      ["an image's name", ["run", "shell", "--image", "\u001b]0;x\u0007\u202e", "--", "true"]],
      ["a flag", ["run", "shell", "--\u001b]0;x\u0007\u202e", "--", "true"]],
      ["a limit", ["run", "shell", "--memory", "\u001b]0;x\u0007\u202e", "--", "true"]],
      ["a file", ["run", "shell", "--file", "\u001b]0;x\u0007\u202e", "--", "true"]],
      ["a task that is asked for", ["get", "\u001b]0;x\u0007\u202e"]],
      [
        "several variables",
        ["run", "shell", "--env", "\u001b]0;x\u0007=1", "--env", "\u009b2J\u202e=2", "--env", "c\r=3", "--", "true"],
      ],
      ["a variable", ["run", "shell", "--env", "\u001b]0;x\u0007\u202e=1", "--", "true"]],
    ] as const
  ).map(([what, args]) =>
    hostile(
      "D6",
      `${what} in an error's text`,
      async () => {
        await using toolx = await openCli();
        const end = await terminal(toolx, args);
        expect(end.code).toBe(2);
        expect(expectInert(end)).toMatch(/\S/);
      },
      brief,
    ),
  ),
  hostile(
    "D6",
    "the name of a program that is not there",
    async () => {
      await using toolx = await openCli();
      const end = await terminal(toolx, ["run", "shell", "--", "\u001b]0;x\u0007\u202e", "argument"]);
      expect(end.code).toBe(127);
      expect(expectInert(end)).toMatch(/\S/);
    },
    brief,
  ),
];

export const terminalRows: readonly HostileCase[] = [...streams, split, ...elsewhere];
