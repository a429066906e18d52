import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../../src/app/config.ts";
import { settings } from "../../../src/app/config-schema.ts";
import { configJson, configTable } from "../../../src/cli/config.ts";
import { defaultLimitRules } from "../../../src/model/limits.ts";

let folder: string;
let data: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "config-"));
  data = join(folder, "data");
  mkdirSync(data);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The configuration with a data folder of the test's own, and its settings file where it has one. */
function load(env: Readonly<Record<string, string>>, file?: unknown) {
  const path = join(data, "config.json");
  if (file === undefined) rmSync(path, { force: true });
  else writeFileSync(path, typeof file === "string" ? file : JSON.stringify(file));
  return loadConfig(folder, { TOOL_EXECUTOR_DATA: data, ...env });
}

describe("the configuration", () => {
  test("has the documented defaults", () => {
    expect(load({})).toMatchObject({
      dataDir: data,
      extraCaDir: "/usr/local/share/ca-certificates",
      baseImage: "debian:bookworm-slim",
      dockerHost: "unix:///var/run/docker.sock",
      install: "ask",
      graceMs: 1000,
      runtimes: ["runc", "runsc"],
      limitRules: defaultLimitRules,
    });
  });

  test.each([
    ["nobody has it", null, "/tmp/tool-exec"],
    ["it is this user's", 1001, "/tmp/tool-exec"],
    ["it is another user's", 0, "/tmp/tool-exec-1001"],
  ])("SANDBOX_ROOT by default, where %s", (_, sandboxRootUid, expected) => {
    const elsewhere = { cpus: 2, homeDir: "/", cwd: "/", checkoutDir: null, xdgStateHome: null, xdgRuntimeDir: null };
    expect(settings.sandboxRoot.byDefault({ ...elsewhere, uid: 1001, sandboxRootUid })).toBe(expected);
  });

  test("takes secrets from variables, and never shows one", () => {
    const env = {
      TOOL_EXECUTOR_SECRET_acme__DB_URL: "hunter2-hunter2",
      TOOL_EXECUTOR_SECRET_team_2Da___key: "hunter3",
      TOOL_EXECUTOR_SECRET_acme__EMPTY: "",
    };
    const config = load({ ...env, TOOL_EXECUTOR_SECRETS_DIR: "secrets", TOOL_EXECUTOR_SECRETS_IN_ARTIFACTS: "redact" });
    const { TOOL_EXECUTOR_SECRET_acme__EMPTY: _, ...variables } = env;
    expect(config.secrets).toEqual({ variables, folder: resolve("secrets"), vault: null, inArtifacts: "redact" });
    expect(configJson(config.settings) + configTable(config.settings)).not.toContain("hunter");
    expect(load({}).secrets).toEqual({ variables: {}, folder: "", vault: null, inArtifacts: "flag" });
  });

  test.each(["acme_DB_URL", "acme__", "acme__2FA", "team-a__X", "_5Fa__X", "__X", "team_a__X"])(
    "the variable of no secret, TOOL_EXECUTOR_SECRET_%s, stops the start without its value",
    (rest) => {
      const name = `TOOL_EXECUTOR_SECRET_${rest}`;
      expect(() => load({ [name]: "hunter2" })).toThrow(
        expect.objectContaining({
          code: "validation",
          message: `"${name}" in the environment is the name of no secret`,
          hint: "allowed: TOOL_EXECUTOR_SECRET_TENANT__NAME, with _5F for _ and _2D for - in the tenant",
        }),
      );
    },
  );

  test("never shows what callbacks are signed with", () => {
    const secret = `whsec_${Buffer.alloc(24, 5).toString("base64")}`;
    const env = { TOOL_EXECUTOR_CALLBACK_HOSTS: "hooks.example", TOOL_EXECUTOR_CALLBACK_SECRET: secret };
    const config = load(env);
    expect(config.callbacks).toMatchObject({ secret, maxTries: 10 });
    expect(configJson(config.settings) + configTable(config.settings)).not.toContain(secret.slice(6));
    expect(() => load({ ...env, TOOL_EXECUTOR_CALLBACK_SECRET: `${secret}hunter2!` })).toThrow(
      /^TOOL_EXECUTOR_CALLBACK_SECRET in the environment must be whsec_ and 24 to 64 random bytes in base64, or two of these with a space between$/,
    );
  });

  test("takes the environment before the file before the defaults, and says which", () => {
    const config = load(
      { TIMEOUT_SECONDS: "60", LOG_LEVEL: "" },
      { TIMEOUT_SECONDS: 50, BASE_IMAGE: "debian:12", LOG_LEVEL: "debug" },
    );
    expect(config.limitRules.timeout_seconds.byDefault).toBe(60);
    const origins = config.settings.filter(({ origin }) => origin !== "default");
    expect(origins.map(({ name, value, origin }) => [name, value, origin])).toEqual([
      ["TOOL_EXECUTOR_DATA", data, "environment"],
      ["BASE_IMAGE", "debian:12", "file"],
      ["LOG_LEVEL", "debug", "file"],
      ["TIMEOUT_SECONDS", 60, "environment"],
    ]);
  });

  test("refuses a Redis without a database, and shows neither's password", () => {
    const env = { REDIS_URL: "rediss://:hunter2@r:6380/1" };
    expect(() => load(env)).toThrow("REDIS_URL is set, but DATABASE_URL is not");
    const config = load({ ...env, DATABASE_URL: "postgres://me:hunter2@db/tools" });
    expect(config.buffer.redis).toMatchObject({ host: "r", port: 6380, database: 1, password: "hunter2", tls: true });
    expect(configTable(config.settings) + configJson(config.settings)).not.toContain("hunter2");
    expect(() => load({ REDIS_URL: "hunter2" })).toThrow(/^REDIS_URL in the environment must be redis:/);
  });

  describe("never shows the password of DATABASE_URL", () => {
    const url = "postgres://me:hunter2@db.example:5433/tools?sslmode=require";

    test("where it lists the settings", () => {
      const config = load({ DATABASE_URL: url });
      expect(config.database).toMatchObject({ host: "db.example", port: 5433, password: "hunter2" });
      const row = config.settings.find(({ name }) => name === "DATABASE_URL");
      expect(row?.value).toBe("postgres://me:***@db.example:5433/tools?sslmode=require");
      expect(configJson(config.settings) + configTable(config.settings)).not.toContain("hunter2");
    });

    test.each(["environment", "file"])("where it refuses it, in the %s", (place) => {
      const wrong = `${url}&pool=8`;
      const loading = () => (place === "file" ? load({}, { DATABASE_URL: wrong }) : load({ DATABASE_URL: wrong }));
      expect(loading).toThrow(/^DATABASE_URL in .* must be postgres:/);
      expect(loading).not.toThrow("hunter2");
    });
  });

  test("never shows the password of LOKI_URL", () => {
    const config = load({ LOKI_URL: "https://me:hunter2@logs.example/loki" });
    expect(config.loki?.url).toBe("https://logs.example/loki");
    expect(configJson(config.settings) + configTable(config.settings)).not.toContain("hunter2");
    expect(() => load({ LOKI_URL: "https://me:hunter2@logs.example/?a" })).toThrow(
      /^LOKI_URL in the environment must be/,
    );
  });

  describe("of an S3 server", () => {
    const s3 = { S3_ENDPOINT: "https://s3.example", S3_BUCKET: "tools", S3_ACCESS_KEY: "me", S3_SECRET_KEY: "hunter2" };

    test("is taken as a whole, with a region by default, and its secret is not shown", () => {
      const config = load(s3);
      const endpoint = { host: "s3.example", port: 443, tls: true };
      const keys = { accessKey: "me", secretKey: "hunter2" };
      expect(config.s3).toEqual({ endpoint, bucket: "tools", region: "us-east-1", ...keys });
      expect(configJson(config.settings) + configTable(config.settings)).not.toContain("hunter2");
      expect(load({}).s3).toBeNull();
    });

    test.each(Object.keys(s3))("is refused without %s", (name) => {
      const others = Object.keys(s3).filter((each) => each !== name);
      expect(() => load({ ...s3, [name]: "" })).toThrow(`${others.join(", ")} is set, but ${name} is not`);
    });

    test.each(["ftp://s3.example", "https://s3.example/bucket", "https://me:hunter2@s3.example", "s3.example"])(
      "has no endpoint %s",
      (endpoint) => {
        expect(() => load({ ...s3, S3_ENDPOINT: endpoint })).toThrow("must be http://host:port or https://host:port");
      },
    );

    test("a secret that is not allowed is not shown either", () => {
      expect(() => load({ ...s3, S3_SECRET_KEY: "hunter 2" })).toThrow(/^S3_SECRET_KEY in the environment must be/);
    });
  });

  test("keeps its data in a checkout that this user may write, otherwise in the user's state folder", () => {
    const checkout = join(folder, "checkout");
    mkdirSync(join(checkout, "src"), { recursive: true });
    writeFileSync(join(checkout, "src", "main.ts"), "");
    expect(loadConfig(checkout, {}).dataDir).toBe(join(checkout, ".tool-executor"));
    expect(loadConfig(folder, { XDG_STATE_HOME: "/state" }).dataDir).toBe("/state/tool-executor");
    expect(loadConfig(folder, {}).dataDir).toBe(join(homedir(), ".local", "state", "tool-executor"));
  });

  test("makes folders absolute", () => {
    expect(load({ SANDBOX_ROOT: "scratch" }).sandboxRoot).toBe(join(process.cwd(), "scratch"));
  });

  test("a lowered maximum takes an unset default with it", () => {
    const { memory_mb } = load({ TOOL_EXECUTOR_LIMIT_MEMORY_MB_MAX: "64" }).limitRules;
    expect(memory_mb).toMatchObject({ byDefault: 64, max: 64 });
  });

  test("takes runtimes in their order, with spaces between them", () => {
    expect(load({ TOOL_EXECUTOR_RUNTIMES: "runsc, kata" }).runtimes).toEqual(["runsc", "kata"]);
  });

  test("lets no task ask for more processors than sandboxes run on", () => {
    const { hostCpus } = load({});
    expect(load({ TOOL_EXECUTOR_SANDBOX_CPUS: "1,1" })).toMatchObject({ sandboxCpus: "1,1", hostCpus: 1 });
    expect(load({ TOOL_EXECUTOR_SANDBOX_CPUS: "0-4095" }).hostCpus).toBe(hostCpus);
    expect(load({}, { TOOL_EXECUTOR_SANDBOX_CPUS: 0 })).toMatchObject({ sandboxCpus: "0", hostCpus: 1 });
  });

  test("leaves other programs' variables alone", () => {
    expect(() => load({ KAFKA_BROKERS: "localhost:9092", PATH: "/bin", TOOL_EXECUTOR: "x" })).not.toThrow();
  });
});

describe("a wrong setting stops the start, and says its name, its value and what is allowed", () => {
  test.each<[Record<string, string>, string]>([
    [
      { TIMEOUT_SECONDS: "abc" },
      'TIMEOUT_SECONDS in the environment is "abc", must be a whole number from 1 to 604800',
    ],
    [{ TIMEOUT_SECONDS: "1.5" }, '"1.5", must be a whole number'],
    [{ TIMEOUT_SECONDS: "1e3" }, '"1e3", must be a whole number'],
    [{ TIMEOUT_SECONDS: "-1" }, '"-1", must be a whole number'],
    [{ TIMEOUT_SECONDS: " 5" }, '" 5", must be a whole number'],
    [{ TIMEOUT_SECONDS: "7200" }, "TIMEOUT_SECONDS is 7200, at most 3600 (TOOL_EXECUTOR_LIMIT_TIMEOUT_SECONDS_MAX)"],
    [{ TOOL_EXECUTOR_LIMIT_CPUS_MAX: "0.01" }, '"0.01", must be a number from 0.05 to 1024'],
    [
      { TOOL_EXECUTOR_MAX_WORKERS: "0" },
      'TOOL_EXECUTOR_MAX_WORKERS in the environment is "0", must be a whole number from 1 to 1000',
    ],
    [{ TOOL_EXECUTOR_INSTALL: "maybe" }, '"maybe", must be one of ask, yes, no'],
    [{ TOOL_EXECUTOR_SANDBOX_CPUS: "0-" }, "must be numbers and ranges, the lower end first"],
    [{ TOOL_EXECUTOR_SANDBOX_CPUS: "3-1" }, "must be numbers and ranges, the lower end first"],
    [{ TOOL_EXECUTOR_RUNTIMES: "runc,,runsc" }, "must be distinct names such as runc,runsc"],
    [{ TOOL_EXECUTOR_RUNTIMES: "runc,runc" }, "must be distinct names such as runc,runsc"],
    [{ TOOL_EXECUTOR_RUNTIMES: "../runc" }, "must be distinct names such as runc,runsc"],
    [{ LOG_LEVEL: "loud" }, "must be one of trace, debug, info, warn, error, silent"],
    [{ DOCKER_HOST: "ssh://host" }, "must be unix:///path/of/a/socket or tcp://host:port"],
    [{ BASE_IMAGE: "--privileged" }, "must be an image reference"],
    [{ SANDBOX_ROOT: "a\0b" }, "must be a folder's path"],
  ])("%j", (env, message) => {
    expect(() => load(env)).toThrow(
      expect.objectContaining({ code: "validation", message: expect.stringContaining(message) }),
    );
  });

  test.each([
    ["TOOL_EXECUTOR_MAX_WORKER", "did you mean TOOL_EXECUTOR_MAX_WORKERS?"],
    ["TOOL_EXECUTOR_LIMIT_TIMEOUT_SECONDS_DEFAULT", "did you mean TIMEOUT_SECONDS?"],
    ["TOOL_EXECUTOR_SOMETHING_ELSE_ALTOGETHER", "toolx config show lists every setting"],
  ])("an unknown %s", (name, hint) => {
    expect(() => load({ [name]: "1" })).toThrow(expect.objectContaining({ code: "validation", hint }));
  });

  test("never shows an API key, listed or refused", () => {
    const key = `tx_0123456789ab_${"s".repeat(43)}`;
    const config = load({ TOOL_EXECUTOR_API_KEY: key });
    expect(config.apiKey).toBe(key);
    expect(config.settings.find(({ name }) => name === "TOOL_EXECUTOR_API_KEY")?.value).toBe("tx_0123456789ab_***");
    const refused = () => load({ TOOL_EXECUTOR_API_KEY: "s3cret-value" });
    expect(refused).toThrow(/^TOOL_EXECUTOR_API_KEY in the environment must be a key/);
    expect(refused).not.toThrow("s3cret");
  });

  test.each<[string, unknown, string]>([
    ["no JSON", "{", "config.json is no JSON"],
    ["a list", [], "must hold a JSON object"],
    ["an unknown name", { TIMEOUT_SECOND: 1 }, '"TIMEOUT_SECOND" in '],
    ["the data folder itself", { TOOL_EXECUTOR_DATA: "/x" }, "is no setting"],
    ["a value of the wrong kind", { TIMEOUT_SECONDS: true }, "must be a string or a number"],
    ["a value that is not allowed", { TIMEOUT_SECONDS: 0 }, 'TIMEOUT_SECONDS in config.json is "0"'],
  ])("a settings file with %s", (_name, file, message) => {
    expect(() => load({}, file)).toThrow(
      expect.objectContaining({ code: "validation", message: expect.stringContaining(message) }),
    );
  });
});

describe("config show", () => {
  test("shows every setting once, with its unit and origin", () => {
    const { settings } = load({ TIMEOUT_SECONDS: "60" });
    const lines = configTable(settings).trimEnd().split("\n");
    expect(lines).toHaveLength(settings.length + 1);
    expect(lines.find((line) => line.startsWith("TIMEOUT_SECONDS "))).toMatch(
      / 60 s +environment +Wall time of a task/,
    );
    expect(new Set(settings.map(({ name }) => name)).size).toBe(settings.length);
    expect(JSON.parse(configJson(settings))).toEqual(settings);
  });
});
