import { accessSync, constants, existsSync, lstatSync, readFileSync } from "node:fs";
import { availableParallelism, homedir } from "node:os";
import { join } from "node:path";
import type { KafkaSettings } from "../adapters/kafka/kafka-settings.ts";
import { type LokiAddress, parseLokiUrl } from "../adapters/loki/loki-address.ts";
import { type DatabaseAddress, parseDatabaseUrl } from "../adapters/postgres/database-address.ts";
import { parseRedisUrl, type RedisAddress } from "../adapters/redis/redis-address.ts";
import { parseS3Endpoint, type S3Address } from "../adapters/s3/s3-address.ts";
import type { VaultAddress } from "../adapters/vault/vault-address.ts";
import type { SecretsInArtifacts } from "../executor/parts.ts";
import type { Retention } from "../loops/sweep.ts";
import { ExecutorError } from "../model/failure.ts";
import { bytesPerMb, defaultLimitRules, type LimitName, type LimitRule, type LimitRules } from "../model/limits.ts";
import { nearest } from "../model/nearest.ts";
import { quoted } from "../model/quoted.ts";
import type { QueueBounds } from "../ports/task-store.ts";
import { parseJson } from "../schema/parse-json.ts";
import { secretPrefix } from "../secrets/environment-secrets.ts";
import { type CallbackSettings, callbackSettings } from "./callback-config.ts";
import { commonSandboxRoot, type Host, limitSettings, type Setting, settings } from "./config-schema.ts";
import { cpuNumbers } from "./cpu-list.ts";
import { type EgressSettings, egressSettings } from "./egress-config.ts";
import { kafkaSettings } from "./kafka-config.ts";
import { type OtlpAddress, otlpAddress } from "./otlp-config.ts";
import { secretVariablesOf } from "./secrets-config.ts";
import { vaultSettings } from "./vault-config.ts";

/** Every setting's value, checked. Folders are absolute paths; none of them has been made or opened. */
export interface Config {
  readonly dataDir: string;
  readonly sandboxRoot: string;
  readonly runtimeDir: string;
  readonly extraCaDir: string;
  readonly maxWorkers: number;
  /** Sandboxes that stand ready in a server. */
  readonly warm: {
    /** Of all kinds together; 0: there are none. */
    readonly maxCount: number;
    /** Of each of the images. */
    readonly min: number;
    readonly images: readonly string[];
    readonly memoryBytes: number;
    readonly maxAgeMs: number;
  };
  /** Tasks that may wait. */
  readonly queue: QueueBounds;
  /** Processors of the engine's machine, such as `1-3,6`; empty: all of them. */
  readonly sandboxCpus: string;
  /** Whether sandboxes on this machine are spoken to past the engine, where that can be. */
  readonly sandboxDirect: boolean;
  /** At least one; the first is the one a task gets that names none. */
  readonly runtimes: readonly string[];
  readonly baseImage: string;
  readonly dockerHost: string;
  /** Folders, modules and packages with custom tools, as they were given. */
  readonly toolSources: readonly string[];
  readonly install: "ask" | "yes" | "no";
  readonly http: {
    /** `host:port`, or `off`. */
    readonly listen: string;
    /** Names the server may be called by; empty: whatever is usual where it listens. */
    readonly hosts: readonly string[];
    readonly maxConnections: number;
    /** Null: the address speaks plain HTTP. */
    readonly tls: { readonly certPath: string; readonly keyPath: string } | null;
  };
  /** What tasks may be given. Holds all of those that stand in variables. */
  readonly secrets: {
    readonly variables: Readonly<Record<string, string>>;
    /** Empty: there is none. */
    readonly folder: string;
    /** Null: there is none. Holds what the store is shown. */
    readonly vault: VaultAddress | null;
    readonly inArtifacts: SecretsInArtifacts;
  };
  /** Who may be told of results over HTTP. Holds a secret. */
  readonly callbacks: CallbackSettings;
  readonly egress: EgressSettings;
  /** Of one input file that the server takes. */
  readonly maxFileBytes: number;
  readonly drainMs: number;
  /** How often a server tries its own walls; null: never. */
  readonly probeEveryMs: number | null;
  /** The server that the command line talks to; empty: none was named. */
  readonly url: string;
  /** Empty: none. A secret. */
  readonly apiKey: string;
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  /** Where tasks are kept, when not in the data folder. Holds a password. */
  readonly database: DatabaseAddress | null;
  /** What waits for the database while it is away. */
  readonly buffer: {
    /** Null: on this machine's disk only. Holds a password. */
    readonly redis: RedisAddress | null;
    /** Of calls that wait. */
    readonly maxBytes: number;
  };
  /** Where files, artifacts and logs are kept, when not in the data folder. Holds a secret key. */
  readonly s3: S3Address | null;
  readonly s3PatienceMs: number;
  /** What gets the lines that tasks write, when files of the data folder do not. Holds a password where there is one. */
  readonly loki: LokiAddress | null;
  /** Where spans go; null: nowhere. Holds secrets where its headers do. */
  readonly otlp: OtlpAddress | null;
  /** Where calls come from and results go to, beside the command line. Holds a password. */
  readonly kafka: KafkaSettings | null;
  /** What a server takes away, and when. */
  readonly retention: Retention;
  readonly graceMs: number;
  readonly engineDeadlines: {
    readonly createMs: number;
    readonly startMs: number;
    readonly attachMs: number;
    readonly killMs: number;
    readonly inspectMs: number;
    readonly removeMs: number;
  };
  readonly limitRules: LimitRules;
  /** CPUs that a task may have, at least 1: those this process may use, and no more than sandboxes run on. */
  readonly hostCpus: number;
  /** The folder above `src`. */
  readonly programDir: string;
  /** Where each value came from, in the order of the schema. */
  readonly settings: readonly SettingRow[];
}

export interface SettingRow {
  readonly name: string;
  readonly value: string | number;
  readonly origin: "default" | "environment" | "file";
  readonly unit: string | null;
  readonly description: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The configuration: the environment before `<data>/config.json` before the defaults. An empty variable counts as unset.
 * @param programDir the folder above `src`; the data folder is in it when it is a checkout that this user may write.
 * @throws ExecutorError validation, naming the setting, its value and what is allowed, also for a name that no setting has.
 */
export function loadConfig(programDir: string, env: Environment = process.env): Config {
  const host = hostOf(programDir, env);
  const rows: SettingRow[] = [];
  const dataDir = fromEnvironment(settings.dataDir, env, host);
  const file = readSettingsFile(join(dataDir ?? settings.dataDir.byDefault(host), "config.json"));
  refuseUnknownVariables(env);
  const secretVariables = secretVariablesOf(env);

  const given = <Value extends string | number>(setting: Setting<Value>): Given<Value> | null => {
    const value = fromEnvironment(setting, env, host);
    if (value !== null) return { value, origin: "environment" };
    const text = file.get(setting.name);
    return text === undefined ? null : { value: parsed(setting, text, host, "in config.json"), origin: "file" };
  };
  const value = <Value extends string | number>(setting: Setting<Value>): Value => {
    const { value, origin } = given(setting) ?? { value: setting.byDefault(host), origin: "default" as const };
    const { name, unit, description, shown } = setting;
    rows.push({ name, value: shown === undefined ? value : shown(value), origin, unit, description });
    return value;
  };
  /** A maximum, and a default that is no more than it. */
  const limit = (name: LimitName): LimitRule => {
    const setting = limitSettings(name);
    const max = given(setting.max)?.value ?? setting.max.byDefault(host);
    const asked = given(setting.byDefault);
    if (asked !== null && asked.value > max) {
      throw new ExecutorError(
        "validation",
        `${setting.byDefault.name} is ${asked.value}, at most ${max} (${setting.max.name})`,
      );
    }
    const byDefault = value({
      ...setting.byDefault,
      byDefault: () => Math.min(setting.byDefault.byDefault(host), max),
    });
    return { ...defaultLimitRules[name], byDefault, max: value(setting.max) };
  };

  const taken = {
    dataDir: value(settings.dataDir),
    sandboxRoot: value(settings.sandboxRoot),
    runtimeDir: value(settings.runtimeDir),
    extraCaDir: value(settings.extraCaDir),
    maxWorkers: value(settings.maxWorkers),
    warm: {
      maxCount: value(settings.warmMax),
      min: value(settings.warmMin),
      images: value(settings.warmImages).split(","),
      memoryBytes: value(settings.warmMemoryMb) * bytesPerMb,
      maxAgeMs: value(settings.warmMaxAgeSeconds) * 1000,
    },
    queue: { inAll: value(settings.maxQueued), perTenant: value(settings.maxQueuedPerTenant) },
    sandboxCpus: value(settings.sandboxCpus),
    sandboxDirect: value(settings.sandboxDirect) === "auto",
    runtimes: value(settings.runtimes).split(","),
    baseImage: value(settings.baseImage),
    dockerHost: value(settings.dockerHost),
    toolSources: value(settings.tools)
      .split(":")
      .filter((source) => source !== ""),
    install: value(settings.install),
    http: {
      listen: value(settings.httpListen),
      hosts: value(settings.httpHosts)
        .split(",")
        .filter((name) => name !== ""),
      maxConnections: value(settings.httpMaxConnections),
      tls: httpTls(value(settings.httpTlsCert), value(settings.httpTlsKey)),
    },
    secrets: {
      variables: secretVariables,
      folder: value(settings.secretsDir),
      vault: vaultSettings(value),
      inArtifacts: value(settings.secretsInArtifacts),
    },
    callbacks: callbackSettings(value),
    egress: egressSettings(value),
    maxFileBytes: value(settings.maxFileMb) * bytesPerMb,
    s3PatienceMs: value(settings.s3PatienceSeconds) * 1000,
    drainMs: value(settings.drainSeconds) * 1000,
    probeEveryMs: value(settings.probeMinutes) * 60_000 || null,
    url: value(settings.url),
    apiKey: value(settings.apiKey),
    logLevel: value(settings.logLevel),
    database: parseDatabaseUrl(value(settings.databaseUrl)),
    buffer: {
      redis: parseRedisUrl(value(settings.redisUrl)),
      maxBytes: value(settings.bufferMaxMb) * bytesPerMb,
    },
    s3: s3Of({
      endpoint: value(settings.s3Endpoint),
      bucket: value(settings.s3Bucket),
      accessKey: value(settings.s3AccessKey),
      secretKey: value(settings.s3SecretKey),
      region: value(settings.s3Region),
    }),
    loki: parseLokiUrl(value(settings.lokiUrl)),
    otlp: otlpAddress(value(settings.otlpEndpoint), value(settings.otlpHeaders)),
    kafka: kafkaSettings(value),
    retention: {
      resultsMs: msOfDays(value(settings.retainResultsDays)),
      logsMs: msOfDays(value(settings.retainLogsDays)),
      artifactsMs: msOfDays(value(settings.retainArtifactsDays)),
      deadLettersMs: msOfDays(value(settings.retainDeadLettersDays)),
      outboxMs: msOfDays(value(settings.retainOutboxDays)),
      auditMs: msOfDays(value(settings.retainAuditDays)),
      filesMs: msOfDays(value(settings.retainFilesDays)),
    },
    graceMs: value(settings.graceMs),
    engineDeadlines: {
      createMs: value(settings.createMs),
      startMs: value(settings.startMs),
      attachMs: value(settings.attachMs),
      killMs: value(settings.killMs),
      inspectMs: value(settings.inspectMs),
      removeMs: value(settings.removeMs),
    },
    limitRules: {
      timeout_seconds: limit("timeout_seconds"),
      cpus: limit("cpus"),
      memory_mb: limit("memory_mb"),
      pids: limit("pids"),
      disk_mb: limit("disk_mb"),
      output_mb: limit("output_mb"),
      inodes: limit("inodes"),
      log_mb: limit("log_mb"),
    },
    programDir,
    settings: rows,
  };
  if (taken.buffer.redis !== null && taken.database === null)
    throw new ExecutorError("validation", "REDIS_URL is set, but DATABASE_URL is not", {
      hint: "Redis keeps what a database that is away cannot take; tasks in a file of the data folder need none",
    });
  const sandboxCpuCount = cpuNumbers(taken.sandboxCpus)?.size || host.cpus;
  return { ...taken, hostCpus: Math.min(host.cpus, sandboxCpuCount) };
}

const msOfDays = (days: number): number | null => (days === 0 ? null : days * 24 * 60 * 60 * 1000);

/** All of it, or none. */
function s3Of(given: Omit<S3Address, "endpoint"> & { readonly endpoint: string }): S3Address | null {
  const needed = [
    [settings.s3Endpoint.name, given.endpoint],
    [settings.s3Bucket.name, given.bucket],
    [settings.s3AccessKey.name, given.accessKey],
    [settings.s3SecretKey.name, given.secretKey],
  ] as const;
  const namesOf = (isSet: boolean): string =>
    needed
      .filter(([, value]) => (value !== "") === isSet)
      .map(([name]) => name)
      .join(", ");
  const endpoint = parseS3Endpoint(given.endpoint);
  if (namesOf(true) === "") return null;
  if (endpoint !== null && namesOf(false) === "") return { ...given, endpoint };
  throw new ExecutorError("validation", `${namesOf(true)} is set, but ${namesOf(false)} is not`, {
    hint: "set all of them for an S3 server, or none",
  });
}

interface Given<Value> {
  readonly value: Value;
  readonly origin: "environment" | "file";
}

function hostOf(programDir: string, env: Environment): Host {
  return {
    uid: process.getuid?.() ?? 0,
    cpus: Math.max(1, availableParallelism()),
    homeDir: homedir(),
    cwd: process.cwd(),
    checkoutDir: isOwnCheckout(programDir) ? programDir : null,
    xdgStateHome: env.XDG_STATE_HOME || null,
    xdgRuntimeDir: env.XDG_RUNTIME_DIR || null,
    sandboxRootUid: lstatSync(commonSandboxRoot, { throwIfNoEntry: false })?.uid ?? null,
  };
}

function isOwnCheckout(programDir: string): boolean {
  if (!existsSync(join(programDir, "src", "main.ts"))) return false;
  try {
    accessSync(programDir, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function fromEnvironment<Value extends string | number>(
  setting: Setting<Value>,
  env: Environment,
  host: Host,
): Value | null {
  const text = env[setting.name];
  return text === undefined || text === "" ? null : parsed(setting, text, host, "in the environment");
}

function parsed<Value extends string | number>(
  setting: Setting<Value>,
  text: string,
  host: Host,
  place: string,
): Value {
  const value = setting.parse(text, host);
  if (value !== null) return value;
  const said = setting.shown === undefined ? `is ${quoted(text)}, must be` : "must be";
  throw new ExecutorError("validation", `${setting.name} ${place} ${said} ${setting.allowed}`, {
    hint: "toolx config show lists every setting",
  });
}

const namesOfSettings = (): readonly string[] => [
  ...Object.values(settings).map((setting) => setting.name),
  ...Object.keys(defaultLimitRules).flatMap((name) => {
    const { byDefault, max } = limitSettings(name as LimitName);
    return [byDefault.name, max.name];
  }),
];

/** Other programs' variables are none of our business; ours have a name of ours, and a slip in one must not pass unseen. */
function refuseUnknownVariables(env: Environment): void {
  const names = namesOfSettings();
  for (const [name, text] of Object.entries(env)) {
    if (
      !name.startsWith("TOOL_EXECUTOR_") ||
      name.startsWith(secretPrefix) ||
      text === undefined ||
      text === "" ||
      names.includes(name)
    )
      continue;
    throw unknownSetting(name, "in the environment", names);
  }
}

function unknownSetting(name: string, place: string, names: readonly string[]): ExecutorError {
  const meant = name === "TOOL_EXECUTOR_LIMIT_TIMEOUT_SECONDS_DEFAULT" ? "TIMEOUT_SECONDS" : nearest(name, names);
  return new ExecutorError("validation", `${quoted(name)} ${place} is no setting`, {
    hint: meant === null ? "toolx config show lists every setting" : `did you mean ${meant}?`,
  });
}

/** Values as text, by the names of the environment. No file is no setting. */
function readSettingsFile(path: string): ReadonlyMap<string, string> {
  const bytes = readIfThere(path);
  if (bytes === null) return new Map();
  const json = parseJson(bytes, {
    subject: path,
    code: "validation",
    caps: { maxBytes: 64 * 1024, maxDepth: 2, maxValues: 1000 },
    exactNumbers: true,
  });
  if (json === null || typeof json !== "object" || Array.isArray(json)) {
    throw new ExecutorError("validation", `${path} must hold a JSON object of settings by name`);
  }
  const names = namesOfSettings().filter((name) => name !== settings.dataDir.name);
  const values = new Map<string, string>();
  for (const [name, value] of Object.entries(json)) {
    if (!names.includes(name)) throw unknownSetting(name, `in ${path}`, names);
    if (typeof value !== "string" && typeof value !== "number") {
      throw new ExecutorError("validation", `${name} in ${path} must be a string or a number`);
    }
    values.set(name, String(value));
  }
  return values;
}

function readIfThere(path: string): Uint8Array | null {
  try {
    return readFileSync(path);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR")) return null;
    throw new ExecutorError("validation", `settings file ${path} cannot be read`, { cause });
  }
}

function httpTls(certPath: string, keyPath: string): Config["http"]["tls"] {
  if ((certPath === "") === (keyPath === "")) return certPath === "" ? null : { certPath, keyPath };
  throw new ExecutorError(
    "validation",
    "of TOOL_EXECUTOR_HTTP_TLS_CERT and TOOL_EXECUTOR_HTTP_TLS_KEY only one is set, must be both or none",
  );
}
