import { type CallbackHost, callbackHostText, judgeCallbackUrl } from "../model/callback-hosts.ts";
import { ExecutorError, type FailureDetail } from "../model/failure.ts";
import type { LimitName, LimitRules, Limits } from "../model/limits.ts";
import { refuseSecretName } from "../model/secret.ts";
import type { InputFile, JsonObject, RetryClass, Task } from "../model/task.ts";
import { canonicalJson } from "./canonical.ts";
import { summary } from "./failure-details.ts";
import { inputFileProblems } from "./input-file-problems.ts";
import { checkJson, type JsonSource, parseJson } from "./parse-json.ts";
import { requestCaps } from "./request-caps.ts";
import { secretProblems } from "./secret-problems.ts";
import { limitBounds, taskSchema } from "./task-schema.ts";
import { timeProblems } from "./time-problems.ts";
import { validator } from "./validator.ts";

export interface TaskParserOptions {
  readonly limitRules: LimitRules;
  /** CPUs of this host, at least 1. */
  readonly hostCpus: number;
  /** The whole request, files included; `defaultMaxRequestBytes` unless an installation says otherwise. */
  readonly maxBytes: number;
  /** A tool's own defaults, where it has any; they stay below the installation's maxima. */
  readonly toolLimits: (toolName: string) => Partial<Limits>;
  /** Where callbacks may go; nowhere unless given. */
  readonly callbackHosts?: readonly CallbackHost[];
  /** Unix milliseconds, for the rules about times. */
  readonly now: () => number;
}

/** `asked`: what the request's surroundings say where it says nothing, such as the tenant of an API key. */
export type ParseTask = (body: unknown, asked?: { readonly tenant_id?: string; readonly task_id?: string }) => Task;

/**
 * Makes the one way from a request (bytes as received, or an object) to a `Task` with every default filled in.
 *
 * The parser throws `ExecutorError`: `validation` with a detail (JSON pointer, message) for each thing wrong;
 * `policy_denied` for a name that no secret can have, and a callback that no setting allows. It knows nothing of tools, images and payloads.
 */
export function taskParser(options: TaskParserOptions): ParseTask {
  const checkRequest = validator<Request>(taskSchema(options.limitRules, options.hostCpus), {
    subject: "request",
    at: "",
    code: "validation",
  });
  const source: JsonSource = {
    subject: "request",
    code: "validation",
    caps: requestCaps(options.maxBytes),
    exactNumbers: true,
  };
  return (body, asked = {}) => {
    const json = body instanceof Uint8Array ? parseJson(body, source) : checkJson(body, source);
    const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
    const request = checkRequest(isObject ? { ...asked, ...json } : json);
    const details = [
      ...inputFileProblems(request.files ?? []),
      ...sizeProblems(request),
      ...secretProblems(request.secrets ?? [], request.env ?? {}),
      ...timeProblems(request.not_before ?? null, request.expires_at ?? null, options.now()),
    ];
    if (details.length > 0) throw new ExecutorError("validation", summary(details), { details });
    for (const [index, { name }] of (request.secrets ?? []).entries()) refuseSecretName(name, `/secrets/${index}/name`);
    refuseCallback(request, options.callbackHosts ?? []);
    return withDefaults(request, options);
  };
}

/** The request once the schema has let it pass. */
interface Request extends Partial<Omit<Task, "task_id" | "tool_name" | "payload" | "limits" | "files" | "network">> {
  readonly task_id: string;
  readonly tool_name: string;
  readonly payload: JsonObject;
  readonly limits?: Partial<Limits>;
  readonly files?: readonly RequestFile[];
  readonly network?: { readonly allow?: readonly string[] };
  readonly callback_url?: string | null;
}

interface RequestFile {
  readonly path: string;
  readonly content_base64?: string;
  readonly sha256?: string;
  readonly executable?: boolean;
}

const maxEnvBytes = 128 * 1024;
const maxMetadataBytes = 16 * 1024;

function sizeProblems(request: Request): readonly FailureDetail[] {
  const details: FailureDetail[] = [];
  let envBytes = 0;
  // Each variable costs the kernel its `=` and its NUL too.
  for (const [name, value] of Object.entries(request.env ?? {})) envBytes += name.length + Buffer.byteLength(value) + 2;
  if (envBytes > maxEnvBytes) {
    details.push({ path: "/env", message: `env is ${envBytes} bytes long, at most ${maxEnvBytes}` });
  }
  const metadataBytes = Buffer.byteLength(canonicalJson(request.metadata ?? {}));
  if (metadataBytes > maxMetadataBytes) {
    const message = `metadata is ${metadataBytes} bytes long, at most ${maxMetadataBytes}`;
    details.push({ path: "/metadata", message });
  }
  return details;
}

function refuseCallback({ callback_url }: Request, hosts: readonly CallbackHost[]): void {
  if (callback_url == null) return;
  const verdict = judgeCallbackUrl(callback_url, hosts);
  if (verdict.kind === "allowed") return;
  const allowed = hosts.length === 0 ? "none here" : hosts.map(callbackHostText).join(", ");
  const message = `${verdict.what}; allowed: ${allowed}`;
  const hint = "leave callback_url out, or ask the operator to name its host in TOOL_EXECUTOR_CALLBACK_HOSTS";
  throw new ExecutorError("policy_denied", message, { hint, details: [{ path: "/callback_url", message }] });
}

/** Left out where nothing is allowed, as in tasks of older versions. */
const networkOf = ({ network }: Request): Pick<Task, "network"> =>
  network?.allow === undefined || network.allow.length === 0 ? {} : { network: { allow: network.allow } };

function withDefaults(request: Request, options: TaskParserOptions): Task {
  return {
    schema_version: 1,
    task_id: request.task_id,
    tenant_id: request.tenant_id ?? "default",
    persona: request.persona ?? null,
    tool_name: request.tool_name,
    payload: request.payload,
    files: (request.files ?? []).map(inputFile),
    stdin: request.stdin ?? null,
    limits: filledLimits(request.limits ?? {}, options.toolLimits(request.tool_name), options),
    ...networkOf(request),
    env: request.env ?? {},
    ...((request.secrets ?? []).length > 0 && { secrets: request.secrets }),
    image: request.image ?? null,
    runtime: request.runtime ?? null,
    priority: request.priority ?? 5,
    // A request may only lower its tool's own class, so the higher one says nothing.
    retry: request.retry ?? ("safe" satisfies RetryClass),
    not_before: request.not_before ?? null,
    expires_at: request.expires_at ?? null,
    callback_url: request.callback_url ?? null,
    metadata: request.metadata ?? {},
  };
}

function inputFile({ path, content_base64, sha256, executable = false }: RequestFile): InputFile {
  return sha256 === undefined
    ? { path, executable, content_base64: content_base64 ?? "" }
    : { path, executable, sha256 };
}

/** What a task gets of a tool with these defaults that asks for no more than `asked`. */
export function filledLimits(
  asked: Partial<Limits>,
  fromTool: Partial<Limits>,
  { limitRules, hostCpus }: Pick<TaskParserOptions, "limitRules" | "hostCpus">,
): Limits {
  const pick = (name: LimitName): number => {
    const { byDefault, max } = limitBounds(name, limitRules[name], hostCpus);
    return asked[name] ?? Math.min(fromTool[name] ?? byDefault, max);
  };
  return {
    timeout_seconds: pick("timeout_seconds"),
    cpus: pick("cpus"),
    memory_mb: pick("memory_mb"),
    pids: pick("pids"),
    disk_mb: pick("disk_mb"),
    output_mb: pick("output_mb"),
    inodes: pick("inodes"),
    log_mb: pick("log_mb"),
  };
}
