import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { Redis } from "ioredis";
import { Wait } from "testcontainers";
import { describe, expect, test } from "vitest";
import { parseRedisUrl, type RedisAddress } from "../../src/adapters/redis/redis-address.ts";
import { redisSpool } from "../../src/adapters/redis/redis-spool.ts";
import type { Spool } from "../../src/ports/spool.ts";
import { anAttempt, anIntake, spoolConformance } from "../conformance/spool.ts";
import { testDocker } from "../support/bare-container.ts";
import { openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { never } from "../support/samples.ts";
import { started, startRedis } from "../support/services.ts";
import { startToxiproxy } from "../support/toxiproxy.ts";
import { until } from "../support/until.ts";

const redis = forThisFile(() => startRedis());
const options = { maxIntakeBytes: 1024 * 1024 };

function addressOf(url: string, differences: Partial<RedisAddress> = {}): RedisAddress {
  const address = parseRedisUrl(url);
  if (address === null) throw new Error(`no address of a Redis: ${url}`);
  return { ...address, ...differences };
}

/** A test is alone on the server: nothing of the one before is left. */
async function emptied(): Promise<RedisAddress> {
  const client = new Redis(redis().url);
  await client.flushall();
  client.disconnect();
  return addressOf(redis().url);
}

const put = (spool: Spool, taskId: string) =>
  spool.put({ kind: "finish", attempt: anAttempt(taskId), resultBytes: Buffer.from("{}") }, never());

spoolConformance("redis, two connections", async (maxIntakeBytes) => {
  const address = await emptied();
  const [one, other] = [await redisSpool(address, { maxIntakeBytes }), await redisSpool(address, { maxIntakeBytes })];
  return {
    one,
    other,
    async [Symbol.asyncDispose]() {
      await one[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
    },
  };
});

test("a spool that is empty again leaves nothing in the server but its counts", async () => {
  const address = await emptied();
  await using spool = await redisSpool(address, options);
  await spool.put(anIntake("t-1"), never());
  await put(spool, "t-2");
  const found = [...(await spool.read("ends", null, 10, never())), ...(await spool.read("intakes", null, 10, never()))];
  await spool.remove(
    found.map(({ id }) => id),
    never(),
  );
  await spool.exclusively(async () => undefined, never());
  const client = new Redis(redis().url);
  const counts = await client.hgetall("{tool-executor}:buffer:counts");
  const left = await client.keys("*");
  client.disconnect();
  expect(counts).toEqual({ intake: "0", bytes: "0", finish: "0" });
  expect(left.sort()).toEqual(["counts", "ends", "intakes"].map((name) => `{tool-executor}:buffer:${name}`));
});

describe("a server that may lose what it is given is refused with what to change", () => {
  const keep = ["--appendonly", "yes", "--appendfsync", "always"];
  test.each([
    [
      "one that evicts",
      [...keep, "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"],
      "maxmemory-policy is allkeys-lru, must be noeviction",
    ],
    ["one without AOF", ["--appendonly", "no"], "appendonly is no, must be yes"],
    [
      "one that syncs once a second",
      ["--appendonly", "yes", "--appendfsync", "everysec"],
      "appendfsync is everysec, must be always",
    ],
    ["one that hides its settings", [...keep, "--rename-command", "CONFIG", ""], "maxmemory-policy cannot be read"],
  ])("%s", async (_name, command, why) => {
    await using other = await startRedis(...command);
    await expect(redisSpool(addressOf(other.url), options)).rejects.toMatchObject({
      code: "validation",
      message: expect.stringContaining(why),
      hint: "the buffer needs a Redis with maxmemory-policy noeviction, appendonly yes and appendfsync always",
    });
  });

  test("also when it becomes one later, from its next connection on", async () => {
    const address = await emptied();
    await using proxy = await startToxiproxy(redis(), 6379);
    await using spool = await redisSpool({ ...address, port: proxy.port }, options);
    expect(await put(spool, "t-1")).toBe("kept");
    const client = new Redis(redis().url);
    await client.config("SET", "appendfsync", "everysec");
    try {
      await proxy.cut();
      await proxy.mend();
      const refused = await until(
        "it is connected again",
        async () => {
          const error = await put(spool, "t-2").catch((thrown: unknown) => thrown);
          return String(error).includes("must be always") ? error : null;
        },
        15_000,
      );
      expect(refused).toMatchObject({ code: "internal", isAway: true });
    } finally {
      await client.config("SET", "appendfsync", "always");
      client.disconnect();
    }
  });
});

test("a server that is full takes no more, says so, and keeps what it has", async () => {
  await using small = await startRedis(
    ...["--appendonly", "yes", "--appendfsync", "always"],
    ...["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"],
  );
  await using spool = await redisSpool(addressOf(small.url), options);
  let kept = 0;
  const full = await until(
    "it is full",
    async () => {
      const entry = { kind: "finish", attempt: anAttempt(`t-${kept}`), resultBytes: Buffer.alloc(200_000, 7) } as const;
      const answer = await spool.put(entry, never()).catch((error: unknown) => error);
      if (answer !== "kept") return answer;
      kept += 1;
      return null;
    },
    60_000,
  );
  expect(full).toMatchObject({
    code: "internal",
    isAway: true,
    message: expect.stringContaining("it is full (maxmemory)"),
  });
  expect(kept).toBeGreaterThan(3);
  expect((await spool.totals(never())).counts.finish).toBe(kept);
  // It empties all the same.
  const [first] = await spool.read("ends", null, 1, never());
  await spool.remove([first?.id ?? ""], never());
  expect((await spool.totals(never())).counts.finish).toBe(kept - 1);
});

test("what was put is there after the server was killed", async () => {
  await using killable = await startRedis();
  await using spool = await redisSpool(addressOf(killable.url), options);
  for (const id of ["t-1", "t-2", "t-3"]) await put(spool, id);
  const container = testDocker().getContainer(killable.container.getId());
  await container.kill();
  await expect(put(spool, "t-4")).rejects.toMatchObject({ isAway: true });
  await container.start();
  // Another port of the loopback than before.
  const { NetworkSettings } = await container.inspect();
  const port = Number(NetworkSettings.Ports["6379/tcp"]?.[0]?.HostPort);
  const answering = async () => {
    await using again = await redisSpool(addressOf(killable.url, { port }), options);
    return await again.totals(never()).catch(() => null);
  };
  expect((await until("it answers", answering, 15_000)).counts.finish).toBe(3);
});

test("a server that is away, silent or cut off is one clear failure in bounded time, and works again after", async () => {
  const address = await emptied();
  await using proxy = await startToxiproxy(redis(), 6379);
  await using spool = await redisSpool({ ...address, port: proxy.port }, options);
  const place = `buffer redis localhost:${proxy.port}/0: `;
  for (const fault of ["cut", "blackHole"] as const) {
    await put(spool, `before-${fault}`);
    await proxy[fault]();
    const startedAt = performance.now();
    await expect(put(spool, "t-1")).rejects.toMatchObject({
      code: "internal",
      isAway: true,
      message: expect.stringContaining(place),
      hint: expect.any(String),
    });
    expect(performance.now() - startedAt).toBeLessThan(7000);
    await proxy.mend();
    await until("it is back", () => put(spool, `after-${fault}`).catch(() => null), 15_000);
  }
});

test("one that is away at the start is tried on", async () => {
  const address = await emptied();
  await using proxy = await startToxiproxy(redis(), 6379);
  await proxy.cut();
  await using spool = await redisSpool({ ...address, port: proxy.port }, options);
  await expect(put(spool, "t-1")).rejects.toMatchObject({ isAway: true });
  await proxy.mend();
  expect(await until("it is back", () => put(spool, "t-1").catch(() => null), 15_000)).toBe("kept");
});

test("neither a password nor what was to be kept is in a failure", async () => {
  await using guarded = await startRedis(
    ...["--requirepass", "a-secret-of-the-tests"],
    ...["--appendonly", "yes", "--appendfsync", "always"],
  );
  const secret = "b-secret-of-the-tests";
  for (const password of [secret, null]) {
    await using spool = await redisSpool(addressOf(guarded.url, { user: null, password }), options);
    const entry = { ...anIntake("t-1"), requestSha256: secret } as const;
    const error: unknown = await spool.put(entry, never()).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "internal",
      hint: "look at user and password in REDIS_URL, and at the server's ACL",
    });
    expect(inspect(error, { depth: 10 })).not.toContain(secret);
  }
  await using right = await redisSpool(addressOf(guarded.url, { password: "a-secret-of-the-tests" }), options);
  expect(await put(right, "t-1")).toBe("kept");
});

test("over TLS the server's certificate is verified", async () => {
  await using toolx = await openCli();
  const [keyPath, certPath] = [join(toolx.workDir, "key.pem"), join(toolx.workDir, "cert.pem")];
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
      ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", keyPath, "-out", certPath],
    ],
    { stdio: "ignore" },
  );
  await using encrypted = await started("redis", [6379], (container) =>
    container
      .withCopyContentToContainer([
        { content: readFileSync(keyPath, "utf8"), target: "/tmp/key.pem", mode: 0o644 },
        { content: readFileSync(certPath, "utf8"), target: "/tmp/cert.pem", mode: 0o644 },
      ])
      .withCommand([
        ...["--port", "0", "--tls-port", "6379", "--tls-auth-clients", "no"],
        ...["--tls-key-file", "/tmp/key.pem", "--tls-cert-file", "/tmp/cert.pem"],
        ...["--appendonly", "yes", "--appendfsync", "always"],
      ])
      .withWaitStrategy(Wait.forListeningPorts()),
  );
  const env = {
    DATABASE_URL: "postgres://me:unused@localhost/unused",
    REDIS_URL: `rediss://localhost:${encrypted.port(6379)}`,
  };
  const counted = (more: object) => toolx.run(["replay", "--buffered", "--dry-run"], { env: { ...env, ...more } });
  expect(await counted({})).toMatchObject({
    code: 125,
    stderr: expect.stringMatching(
      /^toolx: internal: buffer redis localhost:\d+\/0: TLS: DEPTH_ZERO_SELF_SIGNED_CERT\n/,
    ),
  });
  expect(await counted({ NODE_EXTRA_CA_CERTS: certPath })).toMatchObject({
    code: 0,
    stderr: "redis: nothing waits\ndisk: nothing waits\n",
  });
});
