import { Command, CommanderError, Option } from "commander";
import type Dockerode from "dockerode";
import type { Config } from "../app/config.ts";
import { loadConfig } from "../app/config.ts";
import { cliExitCode, ExecutorError } from "../model/failure.ts";
import type { CliContext } from "./context.ts";
import { type CliIo, isClosedPipe, say } from "./io.ts";
import { laterVerbs } from "./later.ts";
import { badFlag } from "./quantities.ts";
import type { RunFlags } from "./run-request.ts";

/** The process a command line runs in. */
export interface CliHost {
  readonly io: CliIo;
  readonly programDir: string;
}

/**
 * Runs one command line and answers the process's exit code. Every failure is one message on stderr: what, where, what was allowed.
 * Commands are loaded when they are called, so that each starts as fast as it can.
 */
export async function runCli(argv: readonly string[], host: CliHost): Promise<number> {
  let exitCode = 0;
  let config: Config | null = null;
  const context: CliContext = {
    ...host,
    config: () => {
      config ??= loadConfig(host.programDir, host.io.env);
      return config;
    },
    exitWith: (code) => {
      exitCode = code;
    },
  };
  const ignoreClosed = (error: NodeJS.ErrnoException): void => {
    // Whoever writes learns of it by its own write; here is nobody left to tell.
    if (!isClosedPipe(error)) throw error;
  };
  host.io.stdout.on("error", ignoreClosed);
  host.io.stderr.on("error", ignoreClosed);
  try {
    await program(context).parseAsync([...argv], { from: "user" });
  } catch (error) {
    return report(host.io, error);
  }
  return exitCode;
}

function report(io: CliIo, error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (isClosedPipe(error)) return 141;
  if (error instanceof ExecutorError) {
    say(io, `toolx: ${error.code}: ${error.message}`);
    for (const { path, message } of error.details.slice(1)) say(io, `  ${path}: ${message}`);
    if (error.hint) say(io, `  hint: ${error.hint}`);
    return cliExitCode(error.code, null);
  }
  const told = error instanceof Error ? (error.stack ?? error.message) : String(error);
  saidByLines(io, `toolx: internal: ${told}`);
  return 125;
}

function saidByLines(io: CliIo, text: string): void {
  for (const line of text.split("\n")) say(io, line);
}

function program(context: CliContext): Command {
  const { io } = context;
  const root = new Command("toolx")
    .description("Runs every tool call in a fresh, hardened, single-use container.")
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text) => saidByLines(io, text.replace(/^error: /, "toolx: validation: ").trimEnd()),
    })
    .showHelpAfterError("(toolx COMMAND --help lists what is allowed)");

  addRun(root, context);
  root
    .command("ps")
    .description("the tasks, newest first")
    .option("-a, --all", "finished ones too")
    .option("-n, --limit <count>", "at most this many", "50")
    .addOption(outputOption())
    .addOption(tenantOption())
    .action(async (flags) => (await import("./ps.ts")).psCommand(context, flags));
  root
    .command("get <task-id>")
    .description("a task and its result")
    .addOption(outputOption())
    .addOption(tenantOption())
    .action(async (taskId, flags) =>
      (await import("./get.ts")).getCommand(context, keyOf(taskId, flags), flags.output === "json"),
    );
  root
    .command("logs <task-id>")
    .description("what a task wrote; -f while it writes")
    .option("-f, --follow", "go on until the task ends")
    .addOption(outputOption())
    .addOption(tenantOption())
    .action(async (taskId, flags) => (await import("./logs.ts")).logsCommand(context, keyOf(taskId, flags), flags));
  const artifacts = root.command("artifacts").description("the files tasks left under /output");
  artifacts
    .command("ls <task-id>")
    .description("which files a task kept")
    .addOption(outputOption())
    .addOption(tenantOption())
    .action(async (taskId, flags) =>
      (await import("./artifacts.ts")).artifactsLs(context, keyOf(taskId, flags), flags.output === "json"),
    );
  artifacts
    .command("pull <task-id> [paths...]")
    .description("put a task's files, all or those named, into a folder")
    .option("--out <folder>", "where to (default: a folder named after the task)")
    .addOption(tenantOption())
    .action(async (taskId, paths, flags) =>
      (await import("./artifacts.ts")).artifactsPull(context, keyOf(taskId, flags), flags.out, paths),
    );
  root
    .command("cancel <task-id>")
    .description("end a task, whatever state it is in")
    .addOption(tenantOption())
    .action(async (taskId, flags) => (await import("./cancel.ts")).cancelCommand(context, keyOf(taskId, flags)));
  const tools = root.command("tools").description("what can be run");
  tools
    .command("ls")
    .description("the tools")
    .addOption(outputOption())
    .action(async (flags) => (await import("./tools.ts")).toolsLs(context, flags.output === "json"));
  tools
    .command("describe <name>")
    .description("a tool's payload, limits and images")
    .addOption(outputOption())
    .action(async (name, flags) => (await import("./tools.ts")).toolsDescribe(context, name, flags.output === "json"));
  tools
    .command("new <name>")
    .description("make a folder with a tool of your own that works, to start from")
    .option("--dir <folder>", "where to make it (default: tools/ in the data folder, where it is found)")
    .action(async (name, flags) => (await import("./tools-new.ts")).toolsNew(context, name, flags.dir));
  tools
    .command("validate [sources...]")
    .description("look for mistakes in tools of your own: folders, modules, packages; all of them without an argument")
    .action(async (sources) => (await import("./tools-validate.ts")).toolsValidate(context, sources));
  const images = root.command("images").description("the images tasks run in");
  images
    .command("build [names...]")
    .description("make what is missing or out of date")
    .option("--check", "run each image's smoke test, also when it is up to date")
    .option("--force", "build what is up to date too, on a fresh Debian")
    .action(async (names, { check = false, force = false }) => {
      const { imagesBuild } = await import("./images.ts");
      await imagesBuild(context, await engineOf(context), names, { check, force });
    });
  images
    .command("ls")
    .description("the images and their state on this engine")
    .addOption(outputOption())
    .action(async (flags) => {
      const { imagesLs } = await import("./images.ts");
      await imagesLs(context, await engineOf(context), flags.output === "json");
    });
  images
    .command("add <reference> [smoke...]")
    .description("make an image of this engine one that tasks may run in; after -- what is run in it to try it")
    .usage("<reference> [--name NAME] [-- smoke...]")
    .option("--name <name>", "what requests call it (default: the last part of the reference)")
    .addOption(outputOption())
    .action(async (reference, smoke, flags) => {
      const { imagesAdd } = await import("./own-images.ts");
      await imagesAdd(context, { reference, name: flags.name ?? null, smoke }, flags.output === "json");
    });
  images
    .command("rm <name>")
    .description("take an added image away")
    .action(async (name) => (await import("./own-images.ts")).imagesRm(context, name));
  root
    .command("serve")
    .description("take tasks in over HTTP and run them, until SIGTERM")
    .option("--handover", "at the end leave what still runs to the next server of this host")
    .action(async (flags: { readonly handover?: boolean }) =>
      (await import("./serve.ts")).serveCommand(context, flags),
    );
  const keys = root.command("keys").description("the API keys of the server");
  keys
    .command("create")
    .description("make a key and print it, once")
    .addOption(tenantOption())
    .option("--expires <days>", "when it stops to open, such as 90d (default: never)")
    .addOption(outputOption())
    .action(async (flags) => (await import("./keys.ts")).keysCreate(context, flags));
  keys
    .command("ls")
    .description("the keys, without what opens")
    .addOption(outputOption())
    .action(async (flags) => (await import("./keys.ts")).keysLs(context, flags.output === "json"));
  keys
    .command("revoke <key>")
    .description("a key opens nothing any more, from now on")
    .action(async (id) => (await import("./keys.ts")).keysRevoke(context, id));
  root
    .command("doctor")
    .description("try every limit and wall on this host, and say what to do")
    .addOption(outputOption())
    .option("--json", "the same as -o json")
    .action(async ({ output, json }) =>
      (await import("./doctor.ts")).doctorCommand(context, output === "json" || json === true),
    );
  root
    .command("config")
    .description("the settings")
    .command("show")
    .description("every setting, its value and where it came from")
    .addOption(outputOption())
    .action(async (flags) => (await import("./config.ts")).configShowCommand(context, flags.output === "json"));
  root
    .command("migrate")
    .description("bring the database of DATABASE_URL to the schema of this version")
    .addOption(outputOption())
    .action(async (flags) => (await import("./migrate.ts")).migrateCommand(context, flags.output === "json"));
  const dlq = root.command("dlq").description("dead letters: what came to nothing");
  dlq
    .command("ls")
    .description("the dead letters, newest first")
    .option("-n, --limit <count>", "at most this many", "50")
    .option("--reason <reason>", "only those with this reason")
    .option("--tenant <id>", "only this tenant's (default: all)")
    .addOption(outputOption())
    .action(async (flags) => (await import("./dlq.ts")).dlqLs(context, flags));
  dlq
    .command("show <letter>")
    .description("one of them, with its bytes")
    .option("--tenant <id>", "only this tenant's (default: all)")
    .addOption(outputOption())
    .action(async (letter, flags) => (await import("./dlq.ts")).dlqShow(context, letter, flags));
  dlq
    .command("replay [letters...]")
    .description("their requests as new tasks, the oldest first; of a callback, the callback")
    .option("--all", "all that fit, instead of letters by their numbers")
    .option("--reason <reason>", "only those with this reason")
    .option("--tenant <id>", "only this tenant's (default: all)")
    .option("--limit <count>", "no more than this many", "100")
    .option("--rate <count>", "no more than this many a second", "10")
    .option("--dry-run", "only say which")
    .addOption(outputOption())
    .action(async (letters, flags) => (await import("./dlq-replay.ts")).dlqReplay(context, letters, flags));
  root
    .command("replay [task-id]")
    .description("a task that has ended once more, as a new one; --buffered: bring to the database what waits for it")
    .option("--task-id <id>", "the new task's own id")
    .option("--buffered", "what waits for the database in Redis and on this disk")
    .option("--dry-run", "with --buffered: count only")
    .addOption(outputOption())
    .addOption(tenantOption())
    .action(async (taskId, flags) => (await import("./replay.ts")).replayCommand(context, taskId, flags));
  const knowledge = root.command("knowledge").description("the documents that the tool knowledge_base searches");
  knowledge
    .command("import <sources...>")
    .description("take in files, or what is in folders: Markdown, text, JSON lines; once more: what has changed")
    .option("--collection <name>", "where they belong", "default")
    .option("--tag <name>", "a tag of each of them (repeatable)", collect, [])
    .option("--prune", "take away what came from these folders before and is no longer in them")
    .addOption(outputOption())
    .addOption(tenantOption())
    .action(async (sources, flags) => (await import("./knowledge-import.ts")).knowledgeImport(context, sources, flags));
  knowledge
    .command("ls [collection]")
    .description("the collections, or the documents of one")
    .addOption(outputOption())
    .addOption(tenantOption())
    .action(async (collection, flags) => (await import("./knowledge.ts")).knowledgeLs(context, collection, flags));
  knowledge
    .command("rm <collection>")
    .description("take away a collection, or with --path a part of it")
    .option("--path <path>", "only this document, or what is below this folder")
    .addOption(tenantOption())
    .action(async (collection, flags) => (await import("./knowledge.ts")).knowledgeRm(context, collection, flags));
  root
    .command("gc")
    .description("remove what dead executors left: containers, folders, sockets")
    .addOption(outputOption())
    .action(async (flags) => (await import("./gc.ts")).gcCommand(context, flags.output === "json"));
  for (const { verb, group } of laterVerbs) {
    const parent = group === null ? root : (root.commands.find((command) => command.name() === group) ?? root);
    parent
      .command(verb, { hidden: true })
      .allowUnknownOption()
      .argument("[args...]")
      .action(() => {
        const name = group === null ? verb : `${group} ${verb}`;
        throw new ExecutorError("policy_denied", `toolx ${name} is not built yet`, {
          hint: "toolx --help lists what there is",
        });
      });
  }
  return root;
}

function addRun(root: Command, context: CliContext): void {
  root
    .command("run <tool> [args...]")
    .description("run one tool call and show what it writes")
    .usage("<tool> [flags] [--] [args...]")
    .option("-c, --code <code>", "python, node: the code itself")
    .option("--payload <json>", "the tool's payload, as JSON or @FILE")
    .option("--file <local[:path]>", "a file or folder for /workspace (repeatable)", collect, [])
    .option("--cwd <folder>", "shell: where to start")
    .option("--cpus <number>", "share of the CPUs")
    .option("--memory <size>", "what the processes may hold, such as 256m")
    .option("--timeout <time>", "wall time, such as 30s")
    .option("--pids <count>", "processes and threads at once")
    .option("--disk <size>", "/workspace and /tmp together")
    .option("--output-size <size>", "/output")
    .option("--inodes <count>", "files and folders on each file system")
    .option("--log-size <size>", "stored output")
    .option("--allow <host[:port]>", "a host that the task may reach; repeatable", collect, [])
    .option("--env <name=value>", "an environment variable (repeatable)", collect, [])
    .option("--secret <name[:file]>", "a secret of the tenant, as a variable or a file (repeatable)", collect, [])
    .option("--image <name>", "the image")
    .option("--runtime <name>", "the runtime")
    .option("--task-id <id>", "the task's own id; the same request again gives the first result")
    .option("--priority <0-9>", "9 first")
    .option("--stdin", "pass standard input to the task")
    .option("--out <folder>", "put the artifacts there when the task has ended")
    .addOption(outputOption())
    .addOption(tenantOption())
    .action(async (tool: string, args: string[], flags: RunFlags) => {
      const { runCommand } = await import("./run.ts");
      await runCommand(context, tool, args, flags);
    });
}

async function engineOf(context: CliContext): Promise<Dockerode> {
  const { dockerAt } = await import("../app/house.ts");
  return dockerAt(context.config().dockerHost);
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

const outputOption = (): Option =>
  new Option("-o, --output <format>", "text or json").choices(["text", "json"]).default("text");

const tenantOption = (): Option => new Option("--tenant <id>", "the tenant").default("default");

function keyOf(
  taskId: string,
  flags: { readonly tenant: string },
): { readonly tenantId: string; readonly taskId: string } {
  const allowed = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;
  if (!allowed.test(taskId)) throw badFlag("task id", taskId, "1 to 63 letters, digits, _ and -");
  if (!allowed.test(flags.tenant)) throw badFlag("--tenant", flags.tenant, "1 to 63 letters, digits, _ and -");
  return { tenantId: flags.tenant, taskId };
}
