import { join, resolve } from "node:path";
import { parseLokiUrl, shownLokiUrl } from "../adapters/loki/loki-address.ts";
import { parseDatabaseUrl, shownDatabaseUrl } from "../adapters/postgres/database-address.ts";
import { parseRedisUrl, shownRedisUrl } from "../adapters/redis/redis-address.ts";
import { parseS3Endpoint } from "../adapters/s3/s3-address.ts";
import { parseVaultUrl } from "../adapters/vault/vault-address.ts";
import { parseCallbackHosts } from "../model/callback-hosts.ts";
import { defaultLimitRules, type LimitName } from "../model/limits.ts";
import { parseCallbackSecrets } from "../schema/callback-signature.ts";
import { cpuNumbers } from "./cpu-list.ts";
import { parseOtlpEndpoint, parseOtlpHeaders } from "./otlp-config.ts";
import { secretsDirName } from "./secrets-config.ts";

/** What the defaults depend on. */
export interface Host {
  /** 0 is root. */
  readonly uid: number;
  readonly cpus: number;
  readonly homeDir: string;
  readonly cwd: string;
  /** The checkout the program runs from, when it runs from one that this user may write; otherwise null. */
  readonly checkoutDir: string | null;
  readonly xdgStateHome: string | null;
  readonly xdgRuntimeDir: string | null;
  /** Of what stands at {@link commonSandboxRoot}; null when nothing does. */
  readonly sandboxRootUid: number | null;
}

/** Where scratch folders are, unless another user of this machine has it. */
export const commonSandboxRoot = "/tmp/tool-exec";

/** One setting: everything that is known about it, in one place. */
export interface Setting<Value extends string | number> {
  /** In the environment and in the settings file. */
  readonly name: string;
  /** Of a number; null where there is nothing to measure. */
  readonly unit: string | null;
  readonly description: string;
  /** What a value must be, for messages. */
  readonly allowed: string;
  readonly byDefault: (host: Host) => Value;
  /** Null for what is not allowed. */
  readonly parse: (text: string, host: Host) => Value | null;
  /** Where a value holds a secret: what of it may be shown. A value that is not allowed is then never shown. */
  readonly shown?: (value: Value) => string;
}

/** Every setting but the limits, by its name in the configuration. */
export const settings = {
  dataDir: folder(
    "TOOL_EXECUTOR_DATA",
    "Where tasks, results, logs and artifacts are kept. Only the environment may set it.",
    ({ checkoutDir, xdgStateHome, homeDir }) =>
      checkoutDir === null
        ? join(xdgStateHome ?? join(homeDir, ".local", "state"), "tool-executor")
        : join(checkoutDir, ".tool-executor"),
  ),
  sandboxRoot: folder(
    "SANDBOX_ROOT",
    "Scratch folders and journals of running attempts, one below it each; must be this user's own. Where another user has the default, this user's number follows its name.",
    ({ uid, sandboxRootUid }) =>
      sandboxRootUid === null || sandboxRootUid === uid ? commonSandboxRoot : `${commonSandboxRoot}-${uid}`,
  ),
  runtimeDir: folder(
    "TOOL_EXECUTOR_RUNTIME_DIR",
    "Sockets by which executors of this host, whatever their data folder, see that the others live.",
    ({ uid, xdgRuntimeDir }) => {
      if (uid === 0) return "/run/tool-executor";
      return xdgRuntimeDir === null ? `/tmp/tool-executor-${uid}` : join(xdgRuntimeDir, "tool-executor");
    },
  ),
  extraCaDir: folder(
    "EXTRA_CA_DIR",
    "Certificates (*.crt) that build stages of images trust beside the usual ones.",
    () => "/usr/local/share/ca-certificates",
  ),
  maxWorkers: integer(
    "TOOL_EXECUTOR_MAX_WORKERS",
    "sandboxes",
    "Sandboxes at once.",
    { min: 1, max: 1000 },
    ({ cpus }) => Math.max(2, cpus * 2),
  ),
  warmMax: integer(
    "TOOL_EXECUTOR_WARM_POOL_MAX",
    "sandboxes",
    "Sandboxes that a server keeps started for tasks to come, as many as were lately asked for at once, no more than this together; 0: none.",
    { min: 0, max: 1000 },
    ({ cpus }) => Math.max(2, cpus * 2),
  ),
  warmMin: integer(
    "TOOL_EXECUTOR_WARM_POOL_MIN",
    "sandboxes",
    "Of those, how many of each image of TOOL_EXECUTOR_WARM_POOL_IMAGES are kept whether anybody asks or not.",
    { min: 0, max: 1000 },
    () => 1,
  ),
  warmImages: list(
    "TOOL_EXECUTOR_WARM_POOL_IMAGES",
    "Images that are kept started from the start on, under the first runtime and with the default limits.",
    "distinct names of images with a comma between them",
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    "shell,python",
  ),
  warmMemoryMb: integer(
    "TOOL_EXECUTOR_WARM_POOL_MEMORY_MB",
    "MiB",
    "What they may take together while they wait; one counts as 48, under gVisor as 96, and what its image starts in it.",
    { min: 96, max: 1_048_576 },
    () => 1024,
  ),
  warmMaxAgeSeconds: integer(
    "TOOL_EXECUTOR_WARM_POOL_MAX_AGE_SECONDS",
    "s",
    "How old one may become that nobody used; then another takes its place. The same on every executor of one engine.",
    { min: 10, max: 86_400 },
    () => 600,
  ),
  maxQueued: integer(
    "TOOL_EXECUTOR_MAX_QUEUED",
    "tasks",
    "Tasks that may wait, of all tenants together; more are refused for the moment.",
    { min: 1, max: 10_000_000 },
    () => 100_000,
  ),
  maxQueuedPerTenant: integer(
    "TOOL_EXECUTOR_MAX_QUEUED_PER_TENANT",
    "tasks",
    "Tasks of one tenant that may wait; more are refused for the moment.",
    { min: 1, max: 10_000_000 },
    () => 10_000,
  ),
  sandboxCpus: {
    name: "TOOL_EXECUTOR_SANDBOX_CPUS",
    unit: null,
    description:
      "Processors of the engine's machine that sandboxes run on; empty: all. Those left out stay free for all else.",
    allowed: "numbers and ranges, the lower end first, such as 1-3,6",
    byDefault: () => "",
    parse: (list) => (cpuNumbers(list) === null ? null : list),
  } satisfies Setting<string>,
  sandboxDirect: choice(
    "TOOL_EXECUTOR_SANDBOX_DIRECT",
    "Whether sandboxes on this machine are spoken to past the engine, by a socket in them that root reaches; off: over the engine's streams only.",
    ["auto", "off"],
    "auto",
  ),
  runtimes: list(
    "TOOL_EXECUTOR_RUNTIMES",
    "Runtimes of the engine that a task may name, the first by default.",
    "distinct names such as runc,runsc with a comma between them",
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    "runc,runsc",
  ),
  baseImage: text(
    "BASE_IMAGE",
    "The image that ours are built on, pulled when they are built; made from Debian's packages where no registry answers.",
    "an image reference such as debian:bookworm-slim",
    /^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}$/,
    "debian:bookworm-slim",
  ),
  dockerHost: text(
    "DOCKER_HOST",
    "The engine's address.",
    "unix:///path/of/a/socket or tcp://host:port",
    /^(?:unix:\/\/\/[^\0]+|tcp:\/\/(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5})$/,
    "unix:///var/run/docker.sock",
  ),
  tools: text(
    "TOOL_EXECUTOR_TOOLS",
    "Custom tools beside those in the data folder's tools/: folders, modules (paths with a slash) and npm packages, divided by colons. Modules run in this process.",
    "folders, modules and names of packages, divided by colons",
    /^[^\p{Cc}]{0,8192}$/u,
    "",
  ),
  install: choice(
    "TOOL_EXECUTOR_INSTALL",
    "Whether the set-up may install and start what is missing (the engine); ask: asks on a terminal, goes ahead without one.",
    ["ask", "yes", "no"],
    "ask",
  ),
  httpListen: text(
    "TOOL_EXECUTOR_HTTP_LISTEN",
    "Where the server listens for HTTP; off: on its local socket only. Anywhere but on the loopback it needs API keys.",
    "host:port, such as 127.0.0.1:7117, or off",
    /^(?:off|(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?:\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5]))$/,
    "127.0.0.1:7117",
  ),
  httpHosts: text(
    "TOOL_EXECUTOR_HTTP_HOSTS",
    "Names that the server may be called by (the Host header, without port), with commas between; empty: on the loopback its own names, elsewhere any.",
    "host names with commas between them",
    /^(?:[A-Za-z0-9.[\]:-]{1,253}(?:,[A-Za-z0-9.[\]:-]{1,253})*)?$/,
    "",
  ),
  httpTlsCert: optionalPath(
    "TOOL_EXECUTOR_HTTP_TLS_CERT",
    "The server's certificate and those between it and its authority (PEM); the address then speaks TLS only.",
  ),
  httpTlsKey: optionalPath("TOOL_EXECUTOR_HTTP_TLS_KEY", "Its key (PEM)."),
  httpMaxConnections: integer(
    "TOOL_EXECUTOR_HTTP_MAX_CONNECTIONS",
    "connections",
    "HTTP connections at once, on the address; more are closed.",
    { min: 1, max: 100_000 },
    () => 1024,
  ),
  callbackHosts: {
    name: "TOOL_EXECUTOR_CALLBACK_HOSTS",
    unit: null,
    description:
      "Where a request's callback_url may lead; empty: nowhere. A host with private addresses needs a range of them after =.",
    allowed:
      "HOST[:PORT] for https or http://HOST[:PORT], with =ADDRESS/LENGTH where wanted, several with commas between",
    byDefault: () => "",
    parse: (text) => (parseCallbackHosts(text) === null ? null : text),
  } satisfies Setting<string>,
  callbackSecret: {
    name: "TOOL_EXECUTOR_CALLBACK_SECRET",
    unit: null,
    description:
      "What callbacks are signed with, by each while receivers change from one to the next; or TOOL_EXECUTOR_CALLBACK_SECRET_FILE.",
    allowed: "whsec_ and 24 to 64 random bytes in base64, or two of these with a space between",
    byDefault: () => "",
    parse: (text) => (parseCallbackSecrets(text) === null ? null : text),
    shown: (secret) => (secret === "" ? "" : "(set)"),
  } satisfies Setting<string>,
  callbackSecretFile: optionalPath(
    "TOOL_EXECUTOR_CALLBACK_SECRET_FILE",
    "A file that holds what callbacks are signed with, and nothing else.",
  ),
  callbackTries: integer(
    "TOOL_EXECUTOR_CALLBACK_TRIES",
    "tries",
    "How often a callback is tried, 1 s, 4 s, 16 s and so on up to an hour apart, before it is a dead letter.",
    { min: 1, max: 1000 },
    () => 10,
  ),
  secretsDir: {
    ...optionalPath(
      secretsDirName,
      "Secrets that tasks may name, as files TENANT/NAME of this user's alone; beside those in TOOL_EXECUTOR_SECRET_… variables. Empty: none.",
    ),
    allowed: "a folder's path",
  },
  secretsInArtifacts: choice(
    "TOOL_EXECUTOR_SECRETS_IN_ARTIFACTS",
    "What becomes of a file that a task leaves with one of its secrets in it. flag: kept, and the result names the secret; redact: the same, and text is kept without it; refuse: no file is kept, and the task ends as policy_denied.",
    ["flag", "redact", "refuse"],
    "flag",
  ),
  vaultAddr: {
    name: "VAULT_ADDR",
    unit: null,
    description:
      "A Vault or OpenBao that has secrets for tasks, beside the variables and the folder, each as the field value of an entry PREFIX/TENANT/NAME; none where it is empty.",
    allowed: "http(s)://host:port, with a path where wanted",
    byDefault: () => "",
    parse: parseVaultUrl,
  } satisfies Setting<string>,
  vaultNamespace: vaultPath("VAULT_NAMESPACE", "Its namespace that all of it is in; empty: the root's.", ""),
  vaultCaCert: optionalPath(
    "VAULT_CACERT",
    "Certificates (PEM) that its own is signed with; the usual ones where it is empty.",
  ),
  vaultToken: vaultSecret(
    "VAULT_TOKEN",
    "The token that it knows the executor by; or VAULT_TOKEN_FILE, or an AppRole.",
  ),
  vaultTokenFile: optionalPath(
    "VAULT_TOKEN_FILE",
    "A file that holds the token, and nothing else; read at each question, so that an agent may renew it.",
  ),
  vaultRoleId: vaultSecret("VAULT_ROLE_ID", "The AppRole that the executor logs in with instead, at auth/approle."),
  vaultSecretId: vaultSecret("VAULT_SECRET_ID", "The secret ID that belongs to it; or VAULT_SECRET_ID_FILE."),
  vaultSecretIdFile: optionalPath("VAULT_SECRET_ID_FILE", "A file that holds the secret ID, and nothing else."),
  vaultMount: vaultPath("VAULT_KV_MOUNT", "Where its KV engine of version 2 is mounted.", "secret", 1),
  vaultPrefix: vaultPath(
    "VAULT_KV_PREFIX",
    "The folder of that engine which has a folder for each tenant; / is its top.",
    "tool-executor",
  ),
  egressDnsServers: text(
    "EGRESS_DNS_SERVERS",
    "Who is asked for the hosts that tasks may reach; empty: this machine's DNS servers. The hosts file is not looked at.",
    "addresses, each with :PORT where it is not 53, with commas between",
    /^(?:(?:[0-9.]{7,15}|\[[0-9A-Fa-f:]{2,39}\])(?::\d{1,5})?(?:,(?:[0-9.]{7,15}|\[[0-9A-Fa-f:]{2,39}\])(?::\d{1,5})?)*)?$/,
    "",
  ),
  egressExceptions: text(
    "EGRESS_EXCEPTIONS",
    "Hosts that may lead tasks to addresses which are closed otherwise, such as db.internal:443=10.1.0.0/16. Never to those where clouds keep secrets.",
    "HOST:PORT=ADDRESS/LENGTH, several with commas between",
    /^[^\p{Cc}\s]{0,8192}$/u,
    "",
  ),
  egressTcp: text(
    "EGRESS_TCP",
    "Hosts that tasks may speak to in any protocol, such as tcp://db.internal:5432; a task that names one in network.allow has it at the same port of its own 127.0.0.1.",
    "tcp://HOST:PORT, several with spaces between",
    /^[^\p{Cc}]{0,8192}$/u,
    "",
  ),
  egressMaxConnections: integer(
    "EGRESS_MAX_CONNECTIONS",
    "connections",
    "Of one task at once.",
    { min: 1, max: 120 },
    () => 64,
  ),
  egressMaxMb: integer(
    "EGRESS_MAX_MB",
    "MiB",
    "What one task's connections may carry together, both ways.",
    { min: 1, max: 1_048_576 },
    () => 1024,
  ),
  egressIdleSeconds: integer(
    "EGRESS_IDLE_SECONDS",
    "s",
    "How long one may carry nothing before it is closed.",
    { min: 1, max: 3600 },
    () => 60,
  ),
  egressCaFile: optionalPath(
    "EGRESS_CA_FILE",
    "Certificates (PEM) that sandboxes with a way out trust beside those of their image.",
  ),
  maxFileMb: integer(
    "TOOL_EXECUTOR_MAX_FILE_MB",
    "MiB",
    "The longest input file that the server takes.",
    { min: 1, max: 1_048_576 },
    () => 1024,
  ),
  drainSeconds: integer(
    "TOOL_EXECUTOR_DRAIN_SECONDS",
    "s",
    "How long a server that is told to end lets its tasks go on; what still runs then is given back or ends as worker_lost.",
    { min: 0, max: 604_800 },
    () => 30,
  ),
  probeMinutes: integer(
    "TOOL_EXECUTOR_PROBE_MINUTES",
    "min",
    "How often a server tries its own walls, beginning at its start; 0: never.",
    { min: 0, max: 100_000 },
    () => 360,
  ),
  url: text(
    "TOOL_EXECUTOR_URL",
    "The server that the command line talks to; empty: the one of this data folder where one runs, otherwise none.",
    "http://host:port or https://host:port",
    /^(?:https?:\/\/(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?\/?)?$/,
    "",
  ),
  apiKey: {
    ...text(
      "TOOL_EXECUTOR_API_KEY",
      "The API key that the command line shows to the server of TOOL_EXECUTOR_URL.",
      "a key that toolx keys create printed",
      /^(?:tx_[0-9a-f]{12}_[A-Za-z0-9_-]{43})?$/,
      "",
    ),
    shown: (key) => (key === "" ? "" : `${key.slice(0, "tx_123456789012".length)}_***`),
  } satisfies Setting<string>,
  logLevel: choice(
    "LOG_LEVEL",
    "The least of our own log lines that are written, to stderr.",
    ["trace", "debug", "info", "warn", "error", "silent"],
    "warn",
  ),
  databaseUrl: {
    name: "DATABASE_URL",
    unit: null,
    description:
      "The PostgreSQL database that tasks and results are kept in, instead of a file of the data folder; none where it is empty.",
    allowed:
      "postgres://user:password@host:port/database, with ?sslmode=disable, require or verify-full (&sslrootcert=/path of a certificate) where wanted",
    byDefault: () => "",
    parse: (text) => (parseDatabaseUrl(text) === null ? null : text),
    shown: (text) => (text === "" ? "" : shownDatabaseUrl(text)),
  } satisfies Setting<string>,
  redisUrl: {
    name: "REDIS_URL",
    unit: null,
    description:
      "The Redis that keeps calls and results while the database of DATABASE_URL is away; none where it is empty.",
    allowed:
      "redis://user:password@host:port/number, or rediss:// for TLS; user, password, port and number may be left out",
    byDefault: () => "",
    parse: (text) => (parseRedisUrl(text) === null ? null : text),
    shown: (text) => (text === "" ? "" : shownRedisUrl(text)),
  } satisfies Setting<string>,
  bufferMaxMb: integer(
    "TOOL_EXECUTOR_BUFFER_MAX_MB",
    "MiB",
    "Calls that may wait in Redis together while the database is away; no more are taken in then. Results are always let in.",
    { min: 1, max: 1_048_576 },
    () => 128,
  ),
  s3Endpoint: {
    name: "S3_ENDPOINT",
    unit: null,
    description:
      "The S3 server that files, artifacts and logs are kept on, instead of in the data folder; none where it is empty.",
    allowed: "http://host:port or https://host:port",
    byDefault: () => "",
    parse: (text) => (parseS3Endpoint(text) === null ? null : text),
  } satisfies Setting<string>,
  s3Bucket: text(
    "S3_BUCKET",
    "The bucket, which must be there.",
    "the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens",
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
    "",
  ),
  s3AccessKey: text("S3_ACCESS_KEY", "Whose bucket it is.", "an access key", /^[\x21-\x7e]{1,256}$/, ""),
  s3SecretKey: {
    ...text(
      "S3_SECRET_KEY",
      "The secret that belongs to it.",
      "a secret key, without spaces",
      /^[\x21-\x7e]{1,256}$/,
      "",
    ),
    shown: (secret) => (secret === "" ? "" : "***"),
  } satisfies Setting<string>,
  s3Region: text(
    "S3_REGION",
    "Where the server says it is.",
    "a region such as us-east-1",
    /^[a-z0-9-]{1,64}$/,
    "us-east-1",
  ),
  s3PatienceSeconds: integer(
    "S3_PATIENCE_SECONDS",
    "s",
    "How long a server goes on bringing a task's files to an S3 server that is away; then the task ends as internal.",
    { min: 5, max: 86_400 },
    () => 600,
  ),
  lokiUrl: {
    name: "LOKI_URL",
    unit: null,
    description:
      "The Loki that gets what tasks write, line by line, while they run; files of the data folder where it is empty.",
    allowed: "http(s)://host:port, with user:password@ and a path where wanted",
    byDefault: () => "",
    parse: (text) => (parseLokiUrl(text) === null ? null : text),
    shown: (text) => (text === "" ? "" : shownLokiUrl(text)),
  } satisfies Setting<string>,
  otlpEndpoint: {
    name: "OTEL_EXPORTER_OTLP_ENDPOINT",
    unit: null,
    description:
      "The collector that gets spans, as OTLP over HTTP (to /v1/traces below it); no tracing where it is empty.",
    allowed: "http(s)://host:port, with a path where wanted",
    byDefault: () => "",
    parse: parseOtlpEndpoint,
  } satisfies Setting<string>,
  otlpHeaders: {
    name: "OTEL_EXPORTER_OTLP_HEADERS",
    unit: null,
    description: "Headers that it wants, such as a token.",
    allowed: "name=value with commas between, the values percent-encoded",
    byDefault: () => "",
    parse: (text) => (parseOtlpHeaders(text) === null ? null : text),
    shown: (text) => (text === "" ? "" : "(set)"),
  } satisfies Setting<string>,
  kafkaBrokers: {
    name: "KAFKA_BROKERS",
    unit: null,
    description: "Some of the brokers that calls come from and results go to; no Kafka where it is empty.",
    allowed: "host:port, several with a comma between them",
    byDefault: () => "",
    parse: (text) => {
      const brokers = text.split(",").map((one) => one.trim());
      const isBroker = (one: string): boolean => /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]):\d{1,5}$/.test(one);
      return brokers.every(isBroker) ? brokers.join(",") : null;
    },
  } satisfies Setting<string>,
  kafkaGroup: kafkaName(
    "KAFKA_GROUP",
    "The consumer group that all executors of one installation are in.",
    "tool-executor",
  ),
  kafkaTools: kafkaName("KAFKA_TOPIC_TOOLS", "Topic that calls come from.", "somastack.tools"),
  kafkaControl: kafkaName("KAFKA_TOPIC_CONTROL", "Topic that cancels come from.", "somastack.tool_control"),
  kafkaResults: kafkaName("KAFKA_TOPIC_RESULTS", "Topic that results go to.", "somastack.tool_results"),
  kafkaDeadLetters: kafkaName(
    "KAFKA_TOPIC_DEAD_LETTERS",
    "Topic for what cannot be dealt with.",
    "somastack.tool_results.dlq",
  ),
  kafkaProgress: kafkaName(
    "KAFKA_TOPIC_PROGRESS",
    "Topic that tells what happens to tasks.",
    "somastack.tool_progress",
  ),
  kafkaCreateTopics: choice("KAFKA_CREATE_TOPICS", "Whether topics that are missing are made.", ["yes", "no"], "yes"),
  kafkaPartitions: integer(
    "KAFKA_PARTITIONS",
    "partitions",
    "Partitions of a topic that is made here: no more executors than that take calls in at once.",
    { min: 1, max: 1000 },
    () => 6,
  ),
  kafkaReplication: integer(
    "KAFKA_REPLICATION_FACTOR",
    "copies",
    "Copies of a topic that is made here; 0: as many as the brokers' own default.",
    { min: 0, max: 15 },
    () => 0,
  ),
  kafkaSessionMs: integer(
    "KAFKA_SESSION_TIMEOUT_MS",
    "ms",
    "After how long without a sign of life the group takes this executor for dead.",
    { min: 1000, max: 300_000 },
    () => 30_000,
  ),
  kafkaMaxMessageBytes: integer(
    "KAFKA_MAX_MESSAGE_BYTES",
    "bytes",
    "Of one outgoing message; what is larger goes to the object store. No more than the brokers' message.max.bytes.",
    { min: 64 * 1024, max: 64 * 1024 * 1024 },
    () => 900 * 1024,
  ),
  kafkaSecurity: choice(
    "KAFKA_SECURITY_PROTOCOL",
    "How the brokers are spoken to.",
    ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
    "PLAINTEXT",
  ),
  kafkaSslCa: optionalPath(
    "KAFKA_SSL_CA",
    "Certificates (PEM) that the brokers' are signed with; the usual ones where it is empty.",
  ),
  kafkaSslCert: optionalPath("KAFKA_SSL_CERT", "Our own certificate (PEM), where the brokers ask for one."),
  kafkaSslKey: optionalPath("KAFKA_SSL_KEY", "Its key (PEM)."),
  kafkaSaslMechanism: choice(
    "KAFKA_SASL_MECHANISM",
    "How we show who we are.",
    ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
    "SCRAM-SHA-512",
  ),
  kafkaSaslUsername: {
    ...text("KAFKA_SASL_USERNAME", "Who we are.", "a name without control characters", /^[^\p{Cc}]{1,255}$/u, ""),
  },
  kafkaSaslPassword: {
    ...text(
      "KAFKA_SASL_PASSWORD",
      "Its password.",
      "up to 1024 characters, none of control",
      /^[^\p{Cc}]{1,1024}$/u,
      "",
    ),
    shown: (password: string) => (password === "" ? "" : "(set)"),
  },
  retainResultsDays: retention("RESULTS", "results, with all else that is left of their tasks", "the task ended", 30),
  retainLogsDays: retention("LOGS", "what tasks wrote", "the task ended", 30),
  retainArtifactsDays: retention("ARTIFACTS", "the files that tasks left", "the task ended", 30),
  retainDeadLettersDays: retention("DEAD_LETTERS", "our copies of dead letters", "they were sent", 30),
  retainOutboxDays: retention("OUTBOX", "messages", "they were sent", 7),
  retainAuditDays: retention("AUDIT", "what was decided for tasks", "it was", 365),
  retainFilesDays: retention("FILES", "input files that no waiting task names", "they were put", 30),
  graceMs: integer(
    "TOOL_EXECUTOR_GRACE_MS",
    "ms",
    "Between SIGTERM and SIGKILL, for a task that is to end.",
    { min: 0, max: 60_000 },
    () => 1000,
  ),
  createMs: engineDeadline("CREATE", "create a container", 10_000),
  startMs: engineDeadline("START", "start a container", 10_000),
  attachMs: engineDeadline("ATTACH", "attach to a container", 10_000),
  killMs: engineDeadline("KILL", "kill a container", 5000),
  inspectMs: engineDeadline("INSPECT", "inspect a container", 3000),
  removeMs: engineDeadline("REMOVE", "remove a container", 10_000),
} as const;

/** The settings of one limit. A default that nobody has set gives way to a lower maximum. */
export function limitSettings(name: LimitName): { readonly byDefault: Setting<number>; readonly max: Setting<number> } {
  const rule = defaultLimitRules[name];
  const { unit, what, ceiling } = limitWords[name];
  const bounded = (setting: string, description: string, value: number): Setting<number> => ({
    name: setting,
    unit,
    description,
    allowed: `${rule.integer ? "a whole number" : "a number"} from ${rule.min} to ${ceiling}`,
    byDefault: () => value,
    parse: (text) => numberWithin(text, rule.min, ceiling, rule.integer),
  });
  const upper = `TOOL_EXECUTOR_LIMIT_${name.toUpperCase()}`;
  return {
    byDefault: bounded(
      name === "timeout_seconds" ? "TIMEOUT_SECONDS" : `${upper}_DEFAULT`,
      `${what}, for a request that does not say.`,
      rule.byDefault,
    ),
    max: bounded(`${upper}_MAX`, `${what}, at most, whatever a request says.`, rule.max),
  };
}

const limitWords: Readonly<Record<LimitName, { unit: string | null; what: string; ceiling: number }>> = {
  timeout_seconds: { unit: "s", what: "Wall time of a task", ceiling: 604_800 },
  cpus: { unit: "CPUs", what: "CPU share of a task", ceiling: 1024 },
  memory_mb: { unit: "MiB", what: "Memory of a task's processes", ceiling: 4_194_304 },
  pids: { unit: "processes", what: "Processes and threads of a task", ceiling: 4_000_000 },
  disk_mb: { unit: "MiB", what: "/workspace and /tmp of a task together", ceiling: 4_194_304 },
  output_mb: { unit: "MiB", what: "/output of a task", ceiling: 4_194_304 },
  inodes: { unit: "files", what: "Files and folders on each of a task's file systems", ceiling: 100_000_000 },
  log_mb: { unit: "MiB", what: "Stored output of a task", ceiling: 65_536 },
};

function folder(name: string, description: string, byDefault: (host: Host) => string): Setting<string> {
  return {
    name,
    unit: null,
    description,
    allowed: "a folder's path",
    byDefault,
    parse: (path, host) => (path.includes("\0") ? null : resolve(host.cwd, path)),
  };
}

function text(name: string, description: string, allowed: string, pattern: RegExp, byDefault: string): Setting<string> {
  const parse = (value: string): string | null => (pattern.test(value) ? value : null);
  return { name, unit: null, description, allowed, byDefault: () => byDefault, parse };
}

/** What Kafka calls a topic or group. */
function kafkaName(name: string, description: string, byDefault: string): Setting<string> {
  const allowed = "1 to 249 letters, digits, dots, _ and -, no dot first";
  return text(name, description, allowed, /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}$/, byDefault);
}

/** A path within a Vault. Slashes around it are taken out; where `minParts` is 0, `/` alone is the top. */
function vaultPath(name: string, description: string, byDefault: string, minParts: 0 | 1 = 0): Setting<string> {
  const allowed = "letters, digits, _ and -, with a slash between parts";
  const parse = (path: string): string | null => {
    const parts = path.split("/").filter((part) => part !== "");
    if (parts.length < minParts || parts.length > 16) return null;
    return parts.every((part) => /^[A-Za-z0-9_-]{1,64}$/.test(part)) ? parts.join("/") : null;
  };
  return { name, unit: null, description, allowed, byDefault: () => byDefault, parse };
}

/** What a Vault is shown. */
function vaultSecret(name: string, description: string): Setting<string> {
  return {
    ...text(name, description, "up to 8192 characters without spaces", /^[\x21-\x7e]{1,8192}$/, ""),
    shown: (secret) => (secret === "" ? "" : "(set)"),
  };
}

/** An absolute path, or empty. */
function optionalPath(name: string, description: string): Setting<string> {
  const parse = (path: string, host: Host): string | null => (path.includes("\0") ? null : resolve(host.cwd, path));
  return { name, unit: null, description, allowed: "a file's path", byDefault: () => "", parse };
}

/** Names with commas between them; spaces around them are taken out. */
function list(name: string, description: string, allowed: string, each: RegExp, byDefault: string): Setting<string> {
  const parse = (value: string): string | null => {
    const names = value.split(",").map((one) => one.trim());
    return names.every((one) => each.test(one)) && new Set(names).size === names.length ? names.join(",") : null;
  };
  return { name, unit: null, description, allowed, byDefault: () => byDefault, parse };
}

function choice<Choice extends string>(
  name: string,
  description: string,
  choices: readonly Choice[],
  byDefault: NoInfer<Choice>,
): Setting<Choice> {
  return {
    name,
    unit: null,
    description,
    allowed: `one of ${choices.join(", ")}`,
    byDefault: () => byDefault,
    parse: (value) => choices.find((known) => known === value) ?? null,
  };
}

function integer(
  name: string,
  unit: string,
  description: string,
  { min, max }: { readonly min: number; readonly max: number },
  byDefault: (host: Host) => number,
): Setting<number> {
  const parse = (value: string): number | null => numberWithin(value, min, max, true);
  return { name, unit, description, allowed: `a whole number from ${min} to ${max}`, byDefault, parse };
}

/** Of what a server takes away when it is past its time. */
function retention(what: string, words: string, since: string, byDefault: number): Setting<number> {
  const description = `How long a server keeps ${words}, after ${since}; 0: for ever.`;
  return integer(`TOOL_EXECUTOR_RETAIN_${what}_DAYS`, "days", description, { min: 0, max: 36_500 }, () => byDefault);
}

function engineDeadline(verb: string, what: string, byDefaultMs: number): Setting<number> {
  const description = `How long the engine may take to ${what}.`;
  return integer(`TOOL_EXECUTOR_ENGINE_${verb}_MS`, "ms", description, { min: 100, max: 600_000 }, () => byDefaultMs);
}

/** Plain decimal digits only: `0x10`, `1e3` and ` 1` are slips, not numbers. */
function numberWithin(text: string, min: number, max: number, whole: boolean): number | null {
  if (!(whole ? /^\d{1,15}$/ : /^\d{1,15}(?:\.\d{1,6})?$/).test(text)) return null;
  const value = Number(text);
  return value >= min && value <= max ? value : null;
}
