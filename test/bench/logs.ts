import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, open, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import { loadConfig } from "../../src/app/config.ts";
import { openHouse } from "../../src/app/house.ts";
import { defaultLimits, productionOptions } from "../support/bare-container.ts";
import { noiseCommand, noiseDigest, peakRssBytes } from "../support/streams.ts";
import type { Contestant } from "./contestants.ts";
import { interleaved, medianOf, rowsOf } from "./interleaved.ts";
import { type Bench, type Part, ratio } from "./part.ts";
import { type Reading, readAll } from "./reading.ts";

const attachShareBar = 0.6;
const redactedMbBar = 100;
const growthBarMib = 64;
const secretCount = 10;
const maxRounds = 5;
/** It must not be the task that is slow. */
const taskCpus = Math.min(2, availableParallelism());
const mib = 1024 ** 2;
const run = promisify(execFile);

/** What a task prints, to a reader that hashes every byte, beside the engine's attach and its client in a pipe. */
export const logsPart: Part = {
  name: "logs",
  async measure(bench) {
    const { bulkBytes } = bench;
    await using house = await openHouse(loadConfig(bench.checkout, bench.env));
    const image = await house.parts.images.resolve("shell", new AbortController().signal);
    if (image === null) throw new Error("the image shell is not allowed here");
    const expected = await noiseDigest(bulkBytes);
    const told = (name: string, read: () => Promise<Reading>): Contestant => ({
      name,
      async round() {
        const { mbPerSecond, ...digest } = await read();
        if (digest.sha256 !== expected.sha256)
          throw new Error(`${name}: ${digest.bytes} bytes came, not those of the task`);
        return { "MB/s": mbPerSecond };
      },
    });

    const smallMib = (await ourReading(bench, 1000, "plain")).peakMib;
    const peaks: number[] = [];
    const plain = async (): Promise<Reading> => {
      const { peakMib, ...reading } = await ourReading(bench, bulkBytes, "plain");
      peaks.push(peakMib);
      return reading;
    };
    const redacted = async (): Promise<Reading> => {
      const { peakMib: _, ...reading } = await ourReading(bench, bulkBytes, "with secrets");
      return reading;
    };
    const options = {
      ...(await productionOptions(house.docker, image.id, { ...defaultLimits, cpus: taskCpus })),
      ...{ Entrypoint: ["bash", "-c", noiseCommand(bulkBytes)], OpenStdin: false, AttachStdin: false },
    };
    const piped = (...flags: readonly string[]) => dockerRunReading(image.id, bulkBytes, flags);
    const rounds = Math.min(bench.rounds, maxRounds);
    const samples = await interleaved(
      [
        told("toolx run", plain),
        told(`toolx run, ${secretCount} secrets`, redacted),
        told("bare attach, no log driver", () => attachReading(house.docker, options)),
        told("docker run | cat", () => piped()),
        told("docker run, no log driver | cat", () => piped("--log-driver", "none")),
      ],
      rounds,
      1,
    );
    const median = (name: string): number => medianOf(samples, `${name}, MB/s`);
    return {
      conditions: {
        task: `${bulkBytes / mib} MiB that look random to stdout, image shell, runc; from the first byte read to the last, each hashed by a program behind a pipe, or by the one that attached`,
        secrets: `${secretCount}, one of them of 2,000 bytes`,
        store: "SQLite, files",
      },
      tables: [{ title: `MB a second, ${rounds} interleaved rounds after one to warm up`, rows: rowsOf(samples) }],
      verdicts: [
        ratio("toolx run / bare attach", median("toolx run") / median("bare attach, no log driver"), "more", {
          atLeast: attachShareBar,
        }),
        ratio("toolx run / docker run | cat", median("toolx run") / median("docker run | cat"), "more", { atLeast: 1 }),
        ratio(
          "toolx run / docker run, no log driver | cat",
          median("toolx run") / median("docker run, no log driver | cat"),
          "more",
        ),
        {
          ...{ name: `with ${secretCount} secrets`, value: median(`toolx run, ${secretCount} secrets`), unit: "MB/s" },
          bar: { atLeast: redactedMbBar },
        },
        {
          ...{ name: "our memory grows by", value: Math.max(...peaks) - smallMib, unit: "MiB" },
          bar: { atMost: growthBarMib },
        },
      ],
      chart: {
        title: `${bulkBytes / mib} MiB of a task's output to a live reader`,
        note: `Medians of ${rounds} interleaved rounds; every byte is hashed by the reader.`,
        panels: [
          {
            kind: "bars",
            axis: "MB a second, more is better",
            bars: [...samples.keys()].map((each) => ({
              name: each.replace(", MB/s", ""),
              value: medianOf(samples, each),
              isOurs: each.startsWith("toolx"),
            })),
          },
        ],
      },
    };
  },
};

const someSecrets: Readonly<Record<string, string>> = Object.fromEntries(
  Array.from({ length: secretCount }, (_, index) => {
    const bytes = Buffer.concat(
      Array.from({ length: 50 }, (_, part) => createHash("sha256").update(`secret ${index} ${part}`).digest()),
    );
    return [`TOKEN_${index}`, bytes.toString("base64url").slice(0, index === 0 ? 2000 : 40)];
  }),
);

/**
 * What a program writes into a pipe, read by a process behind it. `spawned` starts the program on that pipe; a stream that this process
 * would read from a child is a socket, and no shell makes such.
 */
async function readPiped<T>(spawned: (stdout: number) => Promise<T>): Promise<readonly [Reading, T]> {
  const folder = await mkdtemp(join(tmpdir(), "toolx-pipe-"));
  try {
    const path = join(folder, "pipe");
    await run("mkfifo", [path]);
    const reading = run(process.execPath, [join(import.meta.dirname, "pipe-reader.ts"), path]);
    // Opened when the reader has it open too.
    const pipe = await open(path, "w");
    const program = spawned(pipe.fd);
    await pipe.close();
    const [{ stdout }, ended] = await Promise.all([reading, program]);
    return [JSON.parse(stdout), ended];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A whole process; `peakMib`: the most memory that it held. */
async function ourReading(
  { checkout, env }: Bench,
  bytes: number,
  secrets: "plain" | "with secrets",
): Promise<Reading & { readonly peakMib: number }> {
  const given = secrets === "plain" ? {} : someSecrets;
  const variables = Object.entries(given).map(([name, value]) => [`TOOL_EXECUTOR_SECRET_default__${name}`, value]);
  const flags = Object.keys(given).flatMap((name) => ["--secret", name]);
  const args = ["run", "shell", "--timeout", "300s", "--cpus", String(taskCpus), ...flags, "--", noiseCommand(bytes)];
  const [reading, peakBytes] = await readPiped(async (stdout) => {
    const child = spawn(join(checkout, "bin/toolx"), args, {
      env: { ...env, ...Object.fromEntries(variables) },
      stdio: ["ignore", stdout, "pipe"],
    });
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4096);
    });
    const [peak, [code]] = await Promise.all([peakRssBytes(child), once(child, "close")]);
    if (code !== 0) throw new Error(`toolx run ended with ${code}: ${said}`);
    return peak;
  });
  return { ...reading, peakMib: peakBytes / mib };
}

type Docker = Parameters<typeof productionOptions>[0];

/** The least that anybody can do: the engine's own stream, its headers taken off. */
async function attachReading(docker: Docker, options: Parameters<Docker["createContainer"]>[0]): Promise<Reading> {
  const container = await docker.createContainer(options);
  try {
    const stream = await container.attach({ stream: true, stdout: true, stderr: true });
    await container.start();
    return await readAll(stdoutOf(stream as unknown as Readable));
  } finally {
    await container.remove({ force: true, v: true });
  }
}

const headerBytes = 8;

/** What is behind the headers: kind and length of each piece. */
async function* stdoutOf(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let kept: Buffer = Buffer.alloc(0);
  let left = 0;
  for await (const chunk of stream) {
    let rest: Buffer = kept.length === 0 ? chunk : Buffer.concat([kept, chunk]);
    kept = Buffer.alloc(0);
    while (rest.length > 0) {
      if (left === 0) {
        if (rest.length < headerBytes) {
          kept = rest;
          break;
        }
        left = rest.readUInt32BE(4);
        rest = rest.subarray(headerBytes);
        continue;
      }
      const piece = rest.subarray(0, left);
      left -= piece.length;
      rest = rest.subarray(piece.length);
      yield piece;
    }
  }
}

async function dockerRunReading(image: string, bytes: number, flags: readonly string[]): Promise<Reading> {
  const line = 'docker run --rm "$@" | cat';
  const args = [...flags, "--entrypoint", "bash", image, "-c", noiseCommand(bytes)];
  const [reading] = await readPiped(async (stdout) => {
    await once(spawn("sh", ["-c", line, "sh", ...args], { stdio: ["ignore", stdout, "inherit"] }), "close");
  });
  return reading;
}
