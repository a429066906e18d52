import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import type Dockerode from "dockerode";
import { buildService, serviceImage } from "../support/service-images.ts";
import type { Contestant, Round } from "./contestants.ts";
import type { Bench } from "./part.ts";

/** Other people's sandboxes for the same purpose, as PyPI has them: what runs a command in a fresh container of the engine. */
const peerNames = ["llm-sandbox", "swe-rex"] as const;

export interface Peers extends AsyncDisposable {
  readonly contestants: readonly Contestant[];
  /** Which they are, with their versions. */
  readonly words: string;
}

/** Each in a process that stays, so that only its first round pays for its imports. Makes what is missing: packages and image. */
export async function openPeers(bench: Bench, docker: Dockerode): Promise<Peers> {
  const requirements = await readFile(join(bench.checkout, "test/services/peers/requirements.txt"), "utf8");
  const never = new AbortController().signal;
  await buildService("peers", (line) => bench.tell(`image of the peers: ${line}`), never);
  const image = await serviceImage(docker, "peers", never);
  const python = await pythonWith(bench, requirements);
  await using stack = new AsyncDisposableStack();
  const contestants = peerNames.map((name) => stack.use(peerContestant(name, python, image)));
  const held = stack.move();
  return {
    contestants,
    words: peerNames.map((name) => versionOf(requirements, name)).join(", "),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

function peerContestant(name: string, python: string, image: string): Contestant & AsyncDisposable {
  const child = spawn(python, [join(import.meta.dirname, "peers/rounds.py"), name, image], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4096);
  });
  // What it cannot be told any more, its end says.
  child.stdin.on("error", () => undefined);
  const ended = once(child, "exit");
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name,
    async round() {
      child.stdin.write("\n");
      const { value, done } = await answers.next();
      if (done === true) throw new Error(`${name} ended: ${said}`);
      return JSON.parse(value) as Round;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}

/** A Python that has these packages, in a folder that is kept for the next time. */
async function pythonWith({ checkout, tell }: Bench, requirements: string): Promise<string> {
  const cache = join(checkout, "node_modules/.cache");
  const name = `bench-peers-${createHash("sha256").update(requirements).digest("hex").slice(0, 12)}`;
  const python = join(cache, name, "bin/python3");
  const run = promisify(execFile);
  const isThere = await run(python, ["-c", "import llm_sandbox.docker, swerex.deployment.docker"]).then(
    () => true,
    () => false,
  );
  if (isThere) return python;
  tell("installing the peers from PyPI");
  const folder = join(cache, name);
  try {
    await mkdir(cache, { recursive: true });
    await rm(folder, { recursive: true, force: true });
    await run("python3", ["-m", "venv", folder]);
    const file = join(checkout, "test/services/peers/requirements.txt");
    await run(python, ["-m", "pip", "install", "--quiet", "--no-deps", "--requirement", file]);
    return python;
  } catch (cause) {
    // Half a folder would be taken for a whole one.
    await rm(folder, { recursive: true, force: true });
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `the peers cannot be installed: ${why}\nThey need Python 3.10 with venv, and PyPI; --no-peers leaves them out`,
      {
        cause,
      },
    );
  }
}

const versionOf = (requirements: string, name: string): string =>
  requirements
    .split("\n")
    .find((line) => line.startsWith(`${name}==`))
    ?.replace("==", " ") ?? name;
