import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { selfSigned } from "./certificate.ts";
import { checkout } from "./cli.ts";
import type { Zone } from "./dns-server.ts";
import { until } from "./until.ts";

/** A network namespace in which all of the internet is a server of the test's own, and nothing leaves. */
export interface Outside extends AsyncDisposable {
  /** A program and arguments by which a command runs within. */
  readonly through: readonly string[];
  /** What sends an executor to it: its DNS, its authority. */
  readonly env: Readonly<Record<string, string>>;
  /** What lies in its `files` is served, over HTTP and HTTPS. */
  readonly folder: string;
  /** `ADDRESS PORT` of each connection that came to it since the last call. */
  takeConnections(): readonly string[];
  /** `NAME TYPE` of each query since the last call. */
  takeQueries(): readonly string[];
}

/**
 * @param zone where names lead; all of them are in its certificate.
 */
export async function openOutside(zone: Zone): Promise<Outside> {
  await using stack = new AsyncDisposableStack();
  const certificate = stack.use(await selfSigned({ names: Object.keys(zone) }));
  const server = [join(checkout, "test/support/outside-world.ts"), JSON.stringify(zone)];
  const args = ["--disable-warning=ExperimentalWarning", ...server, certificate.certPath, certificate.keyPath];
  args.push(certificate.folder);
  const child = spawn("unshare", ["--net", process.execPath, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  stack.defer(async () => {
    if (child.exitCode !== null) return;
    child.stdin.end();
    await once(child, "close");
  });
  let [connections, queries]: [string[], string[]] = [[], []];
  let isReady = false;
  createInterface({ input: child.stdout }).on("line", (line) => {
    const told = JSON.parse(line) as { tcp?: string; dns?: string; ready?: boolean };
    if (told.tcp !== undefined) connections.push(told.tcp.replace(/^::ffff:/, ""));
    if (told.dns !== undefined) queries.push(told.dns);
    isReady ||= told.ready === true;
  });
  await until("the world outside is there", () => isReady || child.exitCode !== null, 20_000);
  if (!isReady) throw new Error("the world outside could not be made: it needs root, unshare and ip");
  const held = stack.move();
  return {
    folder: certificate.folder,
    through: ["nsenter", `--net=/proc/${child.pid}/ns/net`],
    env: { EGRESS_DNS_SERVERS: "127.0.0.1", EGRESS_CA_FILE: certificate.certPath },
    takeConnections() {
      const taken = connections;
      connections = [];
      return taken;
    },
    takeQueries() {
      const taken = queries;
      queries = [];
      return taken;
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}
