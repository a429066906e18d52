import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import type Dockerode from "dockerode";
import { tcpConnect } from "../../src/adapters/net/dialing.ts";
import { loadConfig } from "../../src/app/config.ts";
import { openHouse } from "../../src/app/house.ts";
import { dialer } from "../../src/egress/dial.ts";
import { parseExceptions } from "../../src/egress/policy.ts";
import { defaultEgressCaps } from "../../src/egress/proxy.ts";
import type { Parts } from "../../src/executor/parts.ts";
import { submit } from "../../src/executor/submit.ts";
import { selfSigned } from "../support/certificate.ts";
import { until } from "../support/until.ts";
import { figures } from "./figures.ts";
import { type Part, ratio } from "./part.ts";

const addedMedianBarMs = 2;
const added99thBarMs = 10;
const throughputShareBar = 0.5;
const throughputBarMb = 100;
const tunnelBarMib = 1;

const host = "bench.test";
const port = 8443;
const requestsARound = 50;
const bigMib = 256;
/** A 99th percentile of fewer requests is that of one slow moment of the machine. */
const mostRounds = 24;
const tunnels = 100;

/** Serves HTTPS; `/big` is bulk. */
const server = `
const https = require("node:https");
const piece = Buffer.alloc(65536, "x");
https.createServer({ key: process.env.KEY, cert: process.env.CERT }, (request, response) => {
  if (request.url !== "/big") return response.end("ok");
  let left = ${bigMib * 1024 * 1024};
  const more = () => {
    while (left > 0) { left -= piece.length; if (!response.write(piece)) return response.once("drain", more); }
    response.end();
  };
  more();
}).listen(${port}, () => console.log("serving"));`;

/** The same program on both sides; on one of them the environment names a proxy. */
const client = `
const https = require("node:https");
const options = { keepAlive: false, proxyEnv: process.env, rejectUnauthorized: false };
const get = (path, agent) => new Promise((resolve, reject) => {
  https.get({ host: "${host}", port: ${port}, path, agent }, (answer) => {
    let bytes = 0;
    answer.on("data", (each) => { bytes += each.length; }).on("end", () => resolve(bytes)).on("error", reject);
  }).on("error", reject);
});
(async () => {
  const said = { fresh: [], kept: [], mb: 0 };
  const timed = async (into, agent) => { const at = performance.now(); await get("/", agent); into.push(performance.now() - at); };
  const kept = new https.Agent({ ...options, keepAlive: true, maxSockets: 1 });
  for (let count = 0; count < 5; count += 1) { await timed([], new https.Agent(options)); await timed([], kept); }
  for (let count = 0; count < ${requestsARound}; count += 1) { await timed(said.fresh, new https.Agent(options)); await timed(said.kept, kept); }
  const at = performance.now();
  const bytes = await get("/big", kept);
  said.mb = bytes / 1e6 / ((performance.now() - at) / 1000);
  kept.destroy();
  if (process.argv[2] === "many") {
    const many = Array.from({ length: ${tunnels} }, () => new https.Agent({ ...options, keepAlive: true }));
    await Promise.all(many.map((agent) => get("/", agent)));
    console.error("open");
    await new Promise((done) => setTimeout(done, 3000));
    for (const agent of many) agent.destroy();
  }
  console.log(JSON.stringify(said));
})();`;

interface Said {
  readonly fresh: readonly number[];
  readonly kept: readonly number[];
  readonly mb: number;
}

/** A task's HTTPS through the proxy, beside the same program in a container on a bridge network, both to one server on that network. */
export const egressPart: Part = {
  name: "egress",
  async measure({ checkout, env, rounds }) {
    await using house = await openHouse(loadConfig(checkout, env));
    const image = await house.parts.images.resolve("node", new AbortController().signal);
    if (image === null) throw new Error("the image node is not allowed here");
    await using network = await benchNetwork(house.docker, image.id);
    const parts: Parts = { ...house.parts, egress: egressTo(network.address) };

    let number = 0;
    const byTask = async (args: readonly string[] = [], onOpen: () => void = () => undefined): Promise<Said> => {
      number += 1;
      const task = house.parseTask({
        ...{ task_id: `egress-${process.pid}-${number}`, tool_name: "shell", image: "node" },
        payload: { argv: ["node", "-e", client, "x", ...args] },
        limits: { timeout_seconds: 120, cpus: 2, memory_mb: 512 },
        network: { allow: [`${host}:${port}`] },
      });
      const watcher: Parameters<typeof submit>[2]["watcher"] = (event) => {
        if (event.kind === "output" && event.stream === "stderr" && event.bytes.includes("open")) onOpen();
      };
      const result = await submit(parts, task, { stdin: null, watcher }, new AbortController().signal);
      if (result.reason !== "ok") throw new Error(`the task ended ${result.reason}: ${result.output.stderr}`);
      return JSON.parse(result.output.stdout) as Said;
    };

    const [ours, theirs]: [Said[], Said[]] = [[], []];
    for (let round = -1; round < Math.min(rounds, mostRounds); round += 1) {
      const [one, other] = [await byTask(), await network.client(client)];
      if (round < 0) continue;
      ours.push(one);
      theirs.push(other);
    }
    const before = process.memoryUsage().rss;
    let open = before;
    await byTask(["many"], () => {
      open = process.memoryUsage().rss;
    });
    const all = (of: readonly Said[], what: "fresh" | "kept") => figures(of.flatMap((said) => said[what]));
    const rate = (of: readonly Said[]) => figures(of.map(({ mb }) => mb));
    const share = rate(ours).median / rate(theirs).median;
    const bar = Math.min(throughputShareBar, throughputBarMb / rate(theirs).median);
    return {
      conditions: {
        task: `node in the image node, runc, cold; ${requestsARound} requests a round of each kind`,
        "other side": "the same program and image, docker run on a bridge network of its own",
        server: "one container on that network, HTTPS",
      },
      tables: [
        {
          title: "milliseconds a request",
          rows: [
            ["proxy, a connection each", all(ours, "fresh")],
            ["bridge, a connection each", all(theirs, "fresh")],
            ["proxy, one connection", all(ours, "kept")],
            ["bridge, one connection", all(theirs, "kept")],
          ],
        },
        {
          title: `MB/s, ${bigMib} MiB`,
          rows: [
            ["proxy", rate(ours)],
            ["bridge", rate(theirs)],
          ],
        },
      ],
      verdicts: [
        added("one connection, median", all(ours, "kept").median - all(theirs, "kept").median, addedMedianBarMs),
        added("one connection, 99th percentile", all(ours, "kept").p99 - all(theirs, "kept").p99, added99thBarMs),
        added("a connection each, median", all(ours, "fresh").median - all(theirs, "fresh").median, addedMedianBarMs),
        added("a connection each, 99th percentile", all(ours, "fresh").p99 - all(theirs, "fresh").p99, added99thBarMs),
        ratio("throughput, proxy / bridge", share, "more", { atLeast: bar }),
        {
          ...{ name: `our memory for each of ${tunnels} open tunnels`, unit: "MiB" },
          ...{ value: (open - before) / tunnels / 1024 / 1024, bar: { atMost: tunnelBarMib } },
        },
      ],
    };
  },
};

const added = (name: string, value: number, atMost: number) => ({
  ...{ name: `added by the proxy: ${name}`, value, unit: "ms", bar: { atMost } },
});

function egressTo(address: string): Parts["egress"] {
  return {
    tcp: [],
    caps: { ...defaultEgressCaps, maxConnections: tunnels + 10, maxBytes: Number.MAX_SAFE_INTEGER },
    extraCa: "",
    record: () => undefined,
    dial: dialer({
      resolve: async () => [address],
      connect: tcpConnect,
      exceptions: parseExceptions([`${host}:${port}=${address}/32`], "bench"),
      ...{ resolveMs: 5_000, connectMs: 5_000 },
    }),
  };
}

interface BenchNetwork extends AsyncDisposable {
  readonly address: string;
  client(program: string): Promise<Said>;
}

/** A bridge network that nobody else is on, with the server. */
async function benchNetwork(docker: Dockerode, imageId: string): Promise<BenchNetwork> {
  await using stack = new AsyncDisposableStack();
  const name = `toolx-bench-egress-${process.pid}`;
  const network = await docker.createNetwork({ Name: name, Driver: "bridge", Internal: true });
  stack.defer(() => network.remove());
  const certificate = stack.use(await selfSigned({ names: [host] }));
  const [key, cert] = await Promise.all([
    readFile(certificate.keyPath, "utf8"),
    readFile(certificate.certPath, "utf8"),
  ]);
  const container = await docker.createContainer({
    Image: imageId,
    Entrypoint: ["node", "-e", server],
    Env: [`KEY=${key}`, `CERT=${cert}`],
    HostConfig: { NetworkMode: name },
  });
  stack.defer(() => container.remove({ force: true }));
  await container.start();
  const isServing = async (): Promise<boolean> =>
    (await container.logs({ stdout: true, stderr: true })).toString().includes("serving");
  await until("the server serves", isServing, 20_000);
  const address = (await container.inspect()).NetworkSettings.Networks[name]?.IPAddress ?? "";
  const held = stack.move();
  return {
    address,
    async client(program) {
      const args = ["run", "--rm", "--network", name, "--add-host", `${host}:${address}`, "--entrypoint", "node"];
      const { stdout } = await promisify(execFile)("docker", [...args, imageId, "-e", program, "x"]);
      return JSON.parse(stdout) as Said;
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}
