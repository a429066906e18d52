import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Result } from "../../src/model/result.ts";
import { type Cli, openCli } from "../support/cli.ts";
import { type Outside, openOutside } from "../support/outside.ts";
import { startServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const far = "93.184.216.34";
const other = "198.41.0.4";

let toolx: Cli;
let outside: Outside;
beforeAll(async () => {
  toolx = await openCli();
  outside = await openOutside({
    "allowed.test": [[far]],
    "plain.test": [[far]],
    "other.test": [[other]],
    "db.test": [[far]],
    "inside.test": [["10.1.2.3"]],
    "metadata.test": [["169.254.169.254"]],
    "turns-runc.test": [[far], ["10.1.2.3"]],
    "turns-runsc.test": [[far], ["10.1.2.3"]],
  });
});
afterEach(async () => {
  outside.takeConnections();
  outside.takeQueries();
  expect(await toolx.leftovers()).toEqual([]);
});
afterAll(async () => {
  await toolx[Symbol.asyncDispose]();
  await outside[Symbol.asyncDispose]();
});

/** One task of an executor that lives outside there. */
const run = (
  command: string,
  allow: readonly string[],
  { flags = [], env = {} }: { flags?: readonly string[]; env?: Readonly<Record<string, string>> } = {},
): Promise<Result> =>
  toolx.result(["run", "shell", ...allow.flatMap((entry) => ["--allow", entry]), ...flags, "--", command], {
    through: outside.through,
    env: { ...outside.env, ...env },
  });

describe.each(["runc", "runsc"])("under %s", (runtime) => {
  const flags = ["--runtime", runtime];

  test("a task reaches the host it may reach, and the result tells of it", async () => {
    const { reason, output, egress, metrics } = await run("curl -sS https://allowed.test/hello", ["allowed.test"], {
      flags,
    });
    expect(output.stderr).toBe("");
    expect({ reason, stdout: output.stdout }).toEqual({ reason: "ok", stdout: "hello from allowed.test/hello\n" });
    expect(egress).toMatchObject([
      { host: "allowed.test", port: 443, verdict: "allowed", connections: 1, why: null, hint: null },
    ]);
    expect(egress[0]?.bytes_in).toBeGreaterThan(500);
    expect(metrics.egress_bytes).toBe((egress[0]?.bytes_in ?? 0) + (egress[0]?.bytes_out ?? 0));
    expect(outside.takeConnections()).toEqual([`${far} 443`]);
    expect(outside.takeQueries().toSorted()).toEqual(["allowed.test 1", "allowed.test 28"]);
  });

  test("one that it may not is refused, with what would allow it, and nobody is asked for it", async () => {
    const { reason, error, output, egress } = await run("curl -sS https://other.test/", ["allowed.test"], { flags });
    expect(output.stderr).toContain("403");
    expect(reason).toBe("nonzero_exit");
    expect(error?.hint).toBe('denied other.test:443: add it to network.allow: "other.test:443"');
    expect(egress).toMatchObject([
      { host: "other.test", port: 443, verdict: "denied", hint: expect.stringContaining("network.allow") },
    ]);
    expect([outside.takeConnections(), outside.takeQueries()]).toEqual([[], []]);
  });

  test("around the proxy there is nothing", async () => {
    const tries = [
      "curl -sS -m 3 --noproxy '*' https://allowed.test/",
      `curl -sS -m 3 --noproxy '*' http://${far}/`,
      `timeout 3 bash -c 'exec 3<>/dev/tcp/${far}/443'`,
      `timeout 3 bash -c 'echo x >/dev/udp/${far}/53'`,
      "getent hosts allowed.test",
    ];
    const command = tries.map((one) => `if ${one} >/dev/null 2>&1; then echo reached; else echo no; fi`).join("\n");
    const { output } = await run(command, ["allowed.test"], { flags });
    expect(output.stdout).toBe("no\n".repeat(tries.length));
    expect([outside.takeConnections(), outside.takeQueries()]).toEqual([[], []]);
  });

  test("without network.allow there is no proxy either", async () => {
    const { output } = await run("env | grep -ci proxy; curl -sS -m 3 http://127.0.0.1:3128/ 2>&1", [], { flags });
    expect(output.stdout).toMatch(/^0\ncurl: \(7\)/);
  });

  test("a megabyte up, and sixteen down, whole", async () => {
    const { output, egress } = await run(
      "curl -sS 'https://allowed.test/big?bytes=16777216' | wc -c; head -c 1048576 /dev/urandom | curl -sS --data-binary @- https://allowed.test/count",
      ["allowed.test"],
      { flags: [...flags, "--timeout", "60s"] },
    );
    expect(output.stdout).toBe("16777216\n1048576\n");
    expect(egress[0]?.bytes_in).toBeGreaterThan(16_777_216);
    expect(egress[0]?.bytes_out).toBeGreaterThan(1_048_576);
  });

  test("SOCKS, plain HTTP, and a host of the operator's on a loopback port", async () => {
    const { output, egress } = await run(
      [
        "curl -sS --proxy $TOOL_SOCKS_PROXY https://allowed.test/hello/socks",
        "curl -sS http://plain.test/hello/plain",
        "exec 5<>/dev/tcp/127.0.0.1/5432; echo over tcp >&5; head -n 1 <&5",
      ].join("\n"),
      ["allowed.test", "http://plain.test", "tcp://db.test:5432"],
      { flags, env: { EGRESS_TCP: "tcp://db.test:5432 tcp://other.test:6379" } },
    );
    expect(output.stderr).toBe("");
    expect(output.stdout).toBe("hello from allowed.test/hello/socks\nhello from plain.test/hello/plain\nover tcp\n");
    expect(egress.map(({ host, port, verdict }) => `${host}:${port} ${verdict}`).toSorted()).toEqual([
      "allowed.test:443 allowed",
      "db.test:5432 allowed",
      "plain.test:80 allowed",
    ]);
  });

  test("names that lead inside are refused, and those that begin to", async () => {
    const { output } = await run(
      `for host in inside metadata turns-${runtime} turns-${runtime}; do curl -s -o /dev/null -w '%{http_code} ' http://$host.test/hello; done`,
      ["http://inside.test", "http://metadata.test", `http://turns-${runtime}.test`],
      { flags },
    );
    expect(output.stdout).toBe("403 403 200 403 ");
    expect(outside.takeConnections()).toEqual([`${far} 80`]);
  });
});

test("an operator's exception opens one host, port and range", async () => {
  const command =
    "for port in 80 8080; do curl -s -m 5 -o /dev/null -w '%{http_code} ' http://inside.test:$port/hello; done";
  const allow = ["http://inside.test:80,8080"];
  const { output } = await run(command, allow, { env: { EGRESS_EXCEPTIONS: "inside.test:80=10.1.0.0/16" } });
  expect(output.stdout).toBe("200 403 ");
  expect(outside.takeConnections()).toEqual(["10.1.2.3 80"]);
});

test("more than a task's connections may carry is cut off", async () => {
  const { output, egress } = await run("curl -sS 'https://allowed.test/big?bytes=16777216' | wc -c", ["allowed.test"], {
    env: { EGRESS_MAX_MB: "1" },
  });
  expect(Number(output.stdout)).toBeLessThanOrEqual(1024 * 1024);
  expect(egress).toMatchObject([{ verdict: "allowed", why: expect.stringContaining("the most that is allowed") }]);
});

test.each([
  ["*", /allows every host/],
  ["*.com", /allows what anybody may register/],
  ["127.0.0.1:80", /is an address/],
  ["tcp://db.test:5432", /allowed of tcp:\/\/: none here/],
  ["ftp://allowed.test", /unknown mode/],
])("--allow %s is refused before anything runs", async (entry, message) => {
  const { code, stderr } = await toolx.run(["run", "shell", "--allow", entry, "--", "true"], {
    through: outside.through,
    env: outside.env,
  });
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
  expect(stderr).toContain("/network/allow");
});

test.each([
  [{ EGRESS_EXCEPTIONS: "inside.test=10.0.0.0/8" }, /EGRESS_EXCEPTIONS.*HOST:PORT=ADDRESS\/LENGTH/],
  [{ EGRESS_EXCEPTIONS: "metadata.test:80=169.254.169.254/32" }, /EGRESS_EXCEPTIONS.*which nothing opens/],
  [{ EGRESS_TCP: "tcp://*.db.test:5432" }, /EGRESS_TCP.*of one host/],
  [{ EGRESS_CA_FILE: "/dev/null" }, /EGRESS_CA_FILE.*certificates \(PEM\)/],
  [{ EGRESS_DNS_SERVERS: "dns.example" }, /EGRESS_DNS_SERVERS/],
])("a setting that is none stops the start: %j", async (env, message) => {
  const { code, stderr } = await toolx.run(["run", "shell", "--", "true"], { env: env as Record<string, string> });
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
});

test("a task whose executor was killed has no way out, and has it again when another goes on with it", async () => {
  const live = await openCli({ ownHost: true });
  try {
    const settings = { ...outside.env, TOOL_EXECUTOR_HTTP_LISTEN: "off" };
    const first = await startServer(live, settings, [], outside.through);
    // A server may start within 300 ms: of requests that come so often, one falls into the time without any.
    const command =
      "for i in $(seq 150); do curl -s -m 1 -o /dev/null -w '%{http_code}\\n' http://plain.test/hello; sleep 0.02; done";
    await first.ask("/v1/tasks", {
      ...{ method: "POST", local: true, headers: { "content-type": "application/json" } },
      body: JSON.stringify({
        ...{ task_id: "goes-on", tool_name: "shell", payload: { command }, limits: { timeout_seconds: 90 } },
        network: { allow: ["http://plain.test"] },
      }),
    });
    await until("it reaches the host", () => outside.takeConnections().length > 0, 30_000);
    first.process.child.kill("SIGKILL");
    await first.process.ended();
    const second = await startServer(live, settings, [], outside.through);
    const { body } = await second.ask("/v1/tasks/goes-on?wait=90s", { local: true });
    const { reason, attempt, output, egress } = JSON.parse(body.toString()) as Result;
    expect({ reason, attempt }).toEqual({ reason: "ok", attempt: 1 });
    expect(output.stdout).toMatch(/^(?:200\n)*(?:000\n)+(?:200\n)+$/);
    expect(egress).toMatchObject([{ host: "plain.test", port: 80, verdict: "allowed" }]);
    second.process.child.kill("SIGTERM");
    await second.process.ended();
    expect(await live.leftovers()).toEqual([]);
  } finally {
    await live[Symbol.asyncDispose]();
  }
});
