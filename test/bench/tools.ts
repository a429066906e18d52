import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadConfig } from "../../src/app/config.ts";
import { openHouse } from "../../src/app/house.ts";
import { dnsServer } from "../support/dns-server.ts";
import { type Contestant, dockerRunContestant, servedContestant } from "./contestants.ts";
import { figuresOf, interleaved, medianOf, rowsOf, type Samples } from "./interleaved.ts";
import { type Bench, type Part, ratio } from "./part.ts";
import { type Serving, startServing, withoutPool, withPool } from "./serving.ts";

const pandasBar = 0.1;
const warmUpRounds = 2;
const images = ["shell", "python", "node"] as const;
const readyEach = 2;
const host = "bench.test";

interface Call {
  readonly name: string;
  readonly task: object;
  /** The same in a container of the engine's own client, without our tool around it. */
  readonly plainly?: { readonly image: (typeof images)[number]; readonly argv: readonly string[] };
}

const frame = 'import pandas as pd; print(pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]}).sum().to_dict())';

/** A small call of each tool as people make it, in a sandbox made for it and in one that stood ready. */
export const toolsPart: Part = {
  name: "tools",
  async measure(bench) {
    const ids = await imageIds(bench);
    await using stack = new AsyncDisposableStack();
    const world = stack.use(await openWorld());
    const cold = stack.use(await startServing(bench, "cold", { ...withoutPool, ...world.settings }));
    const warm = stack.use(await startServing(bench, "warm", { ...withPool(readyEach, ...images), ...world.settings }));
    const settled = (): Promise<void> => warm.allReady(readyEach * images.length);
    await settled();
    for (const server of [cold, warm]) await importDocs(bench, server);

    const calls = callsOf(world.port);
    const samples = await interleaved(
      calls.flatMap(({ name, task, plainly }): readonly Contestant[] => [
        servedContestant(`${name}, cold`, cold, task, { isWarm: false, settled: cold.idle }),
        servedContestant(`${name}, warm`, warm, task, { isWarm: true, settled }),
        ...(plainly === undefined ? [] : [plainContestant(name, ids[plainly.image], plainly.argv)]),
      ]),
      bench.rounds,
      warmUpRounds,
    );
    const [pandas] = calls.filter(({ name }) => name === pandasName);
    const share = (name: string): number =>
      medianOf(samples, `${name}, warm, HTTP to result`) / medianOf(samples, `${name}, cold, HTTP to result`);
    return {
      conditions: {
        task: "one call at a time over HTTP, runc",
        store: "SQLite, full sync",
        pool: `${readyEach} of each image stand ready before each call`,
        http: "a server of the bench's own, on this machine",
        knowledge: "this checkout's docs, imported before",
      },
      tables: [
        {
          title: `milliseconds, ${bench.rounds} interleaved rounds after ${warmUpRounds} to warm up`,
          rows: rowsOf(samples),
        },
      ],
      verdicts: calls.map(({ name }) =>
        ratio(`${name}, warm / cold`, share(name), "less", name === pandas?.name ? { atMost: pandasBar } : null),
      ),
      chart: chartOf(calls, samples, bench.rounds),
    };
  },
};

const pandasName = "python, pandas";

const callsOf = (port: number): readonly Call[] => [
  {
    name: "shell",
    task: { tool_name: "shell", payload: { command: "git --version" } },
    plainly: { image: "shell", argv: ["bash", "-c", "git --version"] },
  },
  {
    name: "python",
    task: { tool_name: "code_interpreter", payload: { language: "python", code: "print(6 * 7)" } },
    plainly: { image: "python", argv: ["python3", "-c", "print(6 * 7)"] },
  },
  {
    name: pandasName,
    task: { tool_name: "code_interpreter", payload: { language: "python", code: frame } },
    plainly: { image: "python", argv: ["python3", "-c", frame] },
  },
  {
    name: "node",
    task: { tool_name: "code_interpreter", payload: { language: "node", code: "console.log(6 * 7)" } },
    plainly: { image: "node", argv: ["node", "-e", "console.log(6 * 7)"] },
  },
  {
    name: "http",
    task: {
      tool_name: "http",
      payload: { url: `http://${host}:${port}/` },
      network: { allow: [`http://${host}:${port}`] },
    },
  },
  {
    name: "knowledge_base",
    task: { tool_name: "knowledge_base", payload: { query: "warm sandboxes", collection: "docs" } },
  },
];

const plainContestant = (name: string, imageId: string, [program = "", ...args]: readonly string[]): Contestant =>
  dockerRunContestant(`${name}, docker run --rm`, ["--entrypoint", program, imageId, ...args]);

async function imageIds({ checkout, env }: Bench): Promise<Readonly<Record<(typeof images)[number], string>>> {
  await using house = await openHouse(loadConfig(checkout, env));
  const idOf = async (name: string): Promise<string> => {
    const image = await house.parts.images.resolve(name, new AbortController().signal);
    if (image === null) throw new Error(`the image ${name} is not allowed here`);
    return image.id;
  };
  return { shell: await idOf("shell"), python: await idOf("python"), node: await idOf("node") };
}

interface World extends AsyncDisposable {
  readonly port: number;
  /** With which tasks find it. */
  readonly settings: Readonly<Record<string, string>>;
}

/** A host that tasks may reach: a server on the loopback, under a name that a DNS server of the bench's own knows. */
async function openWorld(): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const server = createServer((_request, response) => response.end('{"ok":true}'));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stack.defer(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  const { port } = server.address() as AddressInfo;
  const dns = stack.use(await dnsServer({ [host]: [["127.0.0.1"]] }, { address: "127.0.0.1", port: 0 }));
  const held = stack.move();
  return {
    port,
    settings: {
      EGRESS_DNS_SERVERS: `127.0.0.1:${dns.port}`,
      EGRESS_EXCEPTIONS: `${host}:${port}=127.0.0.1/32`,
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

async function importDocs({ checkout }: Bench, { env }: Serving): Promise<void> {
  const args = ["knowledge", "import", join(checkout, "docs"), "--collection", "docs"];
  await promisify(execFile)(join(checkout, "bin/toolx"), args, { env });
}

function chartOf(calls: readonly Call[], samples: Samples, rounds: number) {
  const bars = calls.flatMap(({ name }) =>
    [
      { measured: `${name}, warm, HTTP to result`, isOurs: true },
      { measured: `${name}, cold, HTTP to result`, isOurs: true },
      { measured: `${name}, docker run --rm, whole process`, isOurs: false },
    ]
      .filter(({ measured }) => samples.has(measured))
      .map(({ measured, isOurs }) => {
        const { median, p99 } = figuresOf(samples, measured);
        return { name: measured.replace(/, (HTTP to result|whole process)$/, ""), value: median, p99, isOurs };
      }),
  );
  return {
    title: "A small call of each tool",
    note: `Median of ${rounds} interleaved rounds; the tick is the 99th percentile.`,
    panels: [{ kind: "bars" as const, axis: "milliseconds, less is better", bars }],
  };
}
