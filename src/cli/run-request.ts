import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { basename, resolve } from "node:path";
import { ExecutorError } from "../model/failure.ts";
import { parseJson } from "../schema/parse-json.ts";
import { defaultMaxRequestBytes, requestCaps } from "../schema/request-caps.ts";
import type { Catalog } from "../tools/catalog.ts";
import { badFlag, parseMegabytes, parseNumber, parseSeconds } from "./quantities.ts";

/** The flags of `toolx run` as the command line gives them. */
export interface RunFlags {
  readonly code?: string;
  readonly payload?: string;
  readonly cwd?: string;
  readonly file: readonly string[];
  readonly cpus?: string;
  readonly memory?: string;
  readonly timeout?: string;
  readonly pids?: string;
  readonly disk?: string;
  readonly outputSize?: string;
  readonly inodes?: string;
  readonly logSize?: string;
  readonly allow: readonly string[];
  readonly env: readonly string[];
  readonly secret: readonly string[];
  readonly image?: string;
  readonly runtime?: string;
  readonly taskId?: string;
  readonly tenant?: string;
  readonly priority?: string;
  readonly stdin?: boolean;
  readonly out?: string;
  readonly output: string;
}

const languages: ReadonlySet<string> = new Set(["python", "node"]);

/**
 * The request that a command line means, without its files. What it lacks the schema's defaults fill in.
 * @param catalog asked only where the message depends on it.
 * @throws ExecutorError validation, naming the flag, the value and what was allowed.
 */
export async function runRequest(
  tool: string,
  args: readonly string[],
  flags: RunFlags,
  cwd: string,
  catalog: () => Promise<Catalog>,
): Promise<Record<string, unknown>> {
  const limits = {
    ...(flags.cpus === undefined ? {} : { cpus: parseNumber("--cpus", flags.cpus) }),
    ...(flags.memory === undefined ? {} : { memory_mb: parseMegabytes("--memory", flags.memory) }),
    ...(flags.timeout === undefined ? {} : { timeout_seconds: parseSeconds("--timeout", flags.timeout) }),
    ...(flags.pids === undefined ? {} : { pids: parseNumber("--pids", flags.pids) }),
    ...(flags.disk === undefined ? {} : { disk_mb: parseMegabytes("--disk", flags.disk) }),
    ...(flags.outputSize === undefined ? {} : { output_mb: parseMegabytes("--output-size", flags.outputSize) }),
    ...(flags.inodes === undefined ? {} : { inodes: parseNumber("--inodes", flags.inodes) }),
    ...(flags.logSize === undefined ? {} : { log_mb: parseMegabytes("--log-size", flags.logSize) }),
  };
  return {
    task_id: flags.taskId ?? `t-${randomBytes(5).toString("hex")}`,
    tool_name: languages.has(tool) ? "code_interpreter" : tool,
    payload: await payloadFor(tool, args, flags, cwd, catalog),
    ...(flags.tenant === undefined ? {} : { tenant_id: flags.tenant }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
    ...(flags.env.length === 0 ? {} : { env: environment(flags.env) }),
    ...(flags.image === undefined ? {} : { image: flags.image }),
    ...(flags.runtime === undefined ? {} : { runtime: flags.runtime }),
    ...(flags.priority === undefined ? {} : { priority: parseNumber("--priority", flags.priority) }),
    ...(flags.allow.length === 0 ? {} : { network: { allow: flags.allow } }),
    ...(flags.secret.length === 0 ? {} : { secrets: flags.secret.map(secret) }),
  };
}

async function payloadFor(
  tool: string,
  args: readonly string[],
  flags: RunFlags,
  cwd: string,
  catalog: () => Promise<Catalog>,
): Promise<unknown> {
  if (flags.payload !== undefined) {
    if (args.length > 0 || flags.code !== undefined)
      throw badFlag("--payload", flags.payload, "--payload alone, without further arguments");
    return await payloadFlag(flags.payload, cwd);
  }
  const where = flags.cwd === undefined ? {} : { cwd: flags.cwd };
  if (languages.has(tool)) return await codePayload(tool, args, flags, cwd);
  if (flags.code !== undefined) throw badFlag("-c", flags.code, "-c with the tools python and node");
  if (tool === "shell") {
    const [command] = args;
    if (command === undefined)
      throw new ExecutorError(
        "validation",
        "run shell: nothing to run; allowed: toolx run shell -- 'COMMAND LINE', or PROGRAM ARG…",
      );
    return args.length === 1 ? { command, ...where } : { argv: args, ...where };
  }
  if (tool === "http" && args.length === 1) return { url: args[0] };
  if (args.length > 0) {
    // A slip in the tool's name comes first: what its arguments should be depends on it.
    (await catalog()).find(tool);
    throw badFlag("argument", args[0] ?? "", `--payload JSON or --payload @FILE with the tool ${tool}`);
  }
  return {};
}

async function codePayload(language: string, args: readonly string[], flags: RunFlags, cwd: string): Promise<unknown> {
  if (flags.code !== undefined) return withArgs({ language, code: flags.code }, args);
  const [script, ...rest] = args;
  if (script === undefined)
    throw new ExecutorError("validation", `run ${language}: nothing to run; allowed: a script file, or -c CODE`);
  return withArgs({ language, code: await readText(resolve(cwd, script), "script") }, rest);
}

const withArgs = (payload: object, args: readonly string[]): object =>
  args.length > 0 ? { ...payload, args } : payload;

/** By the rules that a server has for a request. The text itself is never shown: it may be a file that was never meant to be seen. */
async function payloadFlag(value: string, cwd: string): Promise<unknown> {
  const path = value.startsWith("@") ? resolve(cwd, value.slice(1)) : null;
  const bytes = path === null ? Buffer.from(value) : await readBytes(path, "--payload");
  const subject = `--payload: ${path === null ? "the text" : value}`;
  const caps = requestCaps(defaultMaxRequestBytes);
  try {
    return parseJson(bytes, { subject, code: "validation", caps, exactNumbers: true });
  } catch (error) {
    if (!(error instanceof ExecutorError)) throw error;
    const { message, details } = error;
    throw new ExecutorError("validation", message, { details, hint: "allowed: a JSON object, or @FILE with one" });
  }
}

async function readText(path: string, what: string): Promise<string> {
  const bytes = await readBytes(path, what);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ExecutorError("validation", `${what}: ${basename(path)} is no UTF-8 text (${path})`);
  }
}

/** Of a file without an end no more than shows that it is too long. */
async function readBytes(path: string, what: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  try {
    for await (const part of createReadStream(path, { end: defaultMaxRequestBytes })) parts.push(part);
  } catch (cause) {
    throw missingFile(what, path, cause);
  }
  return Buffer.concat(parts);
}

/** One clear message for a file that cannot be read. */
export function missingFile(what: string, path: string, cause: unknown): ExecutorError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const why =
    code === "ENOENT" ? "there is no such file" : code === "EISDIR" ? "it is a folder" : `it cannot be read (${code})`;
  return new ExecutorError("validation", `${what}: ${basename(path)}: ${why} (${path})`, { cause });
}

/** What is no name the parser refuses, without showing it. */
function secret(flag: string): { readonly name: string; readonly as: "env" | "file" } {
  return flag.endsWith(":file") ? { name: flag.slice(0, -":file".length), as: "file" } : { name: flag, as: "env" };
}

function environment(pairs: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    if (at < 1) throw badFlag("--env", pair, "NAME=VALUE");
    env[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return env;
}
