import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { followJournal } from "../../../src/adapters/disk/follow-journal.ts";
import type { Limits } from "../../../src/model/limits.ts";
import { noiseCommand, noiseDigest } from "../../support/streams.ts";
import { until } from "../../support/until.ts";
import type { Request } from "../ground.ts";
import {
  brief,
  expectReason,
  type HostileCase,
  hostile,
  isCovering,
  python,
  shell,
  type Traits,
} from "../hostile-case.ts";
import { expectAccounted, gapsOf, inlineBytes, loggedBytes, type Seen, storedLog, watched } from "../stored-output.ts";

const mib = 1024 * 1024;
const endlessLineBytes = (isCovering ? 256 : 1024) * mib;
const long = { timeout_seconds: 100 } as const;

/** A task that writes so many bytes to each stream and ends well. */
function flood(
  id: string,
  name: string,
  request: Request,
  written: { readonly stdout?: number; readonly stderr?: number },
  more: (seen: Seen) => void | Promise<void> = () => undefined,
  traits: Traits = brief,
): HostileCase {
  return hostile(
    id,
    name,
    async (ground) => {
      const seen = await watched(ground, request);
      expectReason(seen.ran.result, "ok");
      const logMb = (request.limits as Partial<Limits> | undefined)?.log_mb ?? 16;
      await expectAccounted(ground, seen, { stdout: 0, stderr: 0, ...written }, logMb);
      await more(seen);
    },
    traits,
  );
}

const floods: readonly HostileCase[] = [
  flood(
    "D1",
    "300 MB of noise on stderr: a live reader gets every byte",
    shell(`(${noiseCommand(300 * mib)}) >&2`, long),
    { stderr: 300 * mib },
    async ({ sha256 }) => expect(sha256.stderr).toBe((await noiseDigest(300 * mib)).sha256),
  ),
  flood("D1", "both streams at once", shell("yes a | head -c 150M & yes b | head -c 150M >&2; wait", long), {
    stdout: 150 * mib,
    stderr: 150 * mib,
  }),
  flood(
    "D1",
    "both streams in turn, a byte at a time",
    python("import os\nfor _ in range(100000): os.write(1, b'o'); os.write(2, b'e')", long),
    { stdout: 100_000, stderr: 100_000 },
    ({ ran }) => {
      expect(ran.result.output.stdout).toMatch(/^o+(\n\[… \d+ bytes left out …\]\n)o+$/);
      expect(ran.result.output.stderr).toMatch(/^e+(\n\[… \d+ bytes left out …\]\n)e+$/);
    },
  ),
  flood("D1", "a million lines, each a write", shell("stdbuf -oL seq 1000000", long), { stdout: 6_888_896 }),
  flood(
    "D1",
    "a flood of progress",
    shell(`yes '{"progress":0.5,"message":"again"}' | head -c 20M >&$TOOL_PROGRESS_FD; echo end`, long),
    { stdout: 4 },
    ({ progressCount }) => expect(progressCount).toBe(Math.floor((20 * mib) / 35)),
  ),
  flood(
    "D1",
    "100 MB of garbage as progress, without a line's end",
    shell("head -c 100M /dev/urandom | tr -d '\\n' >&$TOOL_PROGRESS_FD; echo end", long),
    { stdout: 4 },
    ({ progressCount }) => expect(progressCount).toBe(0),
  ),
  flood(
    "D1",
    "output, errors and progress at once",
    shell(
      `yes o | head -c 50M & yes e | head -c 50M >&2 & yes '{"progress":1}' | head -c 20M >&$TOOL_PROGRESS_FD; wait`,
      long,
    ),
    { stdout: 50 * mib, stderr: 50 * mib },
  ),
  // Past what 32 bits can count.
  flood(
    "D1",
    "yes | head -c 4300M",
    shell("yes | head -c 4300M", { timeout_seconds: 200 }),
    { stdout: 4300 * mib },
    undefined,
    {
      boundMs: 300_000,
    },
  ),
  hostile("D1", "a flood that ends only with its time", async (ground) => {
    const seen = await watched(ground, shell("yes", { timeout_seconds: 2 }));
    const { result } = seen.ran;
    expectReason(result, "timeout");
    expect(result.output.stdout_bytes).toBeGreaterThan(mib);
    await expectAccounted(ground, seen, { stdout: seen.bytes.stdout, stderr: 0 }, 16);
    expect(result.output.stdout_bytes).toBe(seen.bytes.stdout);
  }),
];

const endlessLines: readonly HostileCase[] = [
  flood(
    "D2",
    `${endlessLineBytes / mib} MiB of the letter a without a line's end`,
    shell(`head -c ${endlessLineBytes} /dev/zero | tr '\\0' a`, long),
    { stdout: endlessLineBytes },
    ({ ran }) => expect(ran.result.output.stdout).toMatch(/^a+\n\[… \d+ bytes left out …\]\na+$/),
  ),
  hostile(
    "D2",
    "no line of the stored log is longer than a frame",
    async (ground) => {
      const ran = await ground.run(shell("head -c 50M /dev/zero | tr '\\0' a", long));
      expectReason(ran.result, "ok");
      for (const record of await storedLog(ground, ran))
        if (!("gap" in record)) expect(record.text?.length ?? 0).toBeLessThanOrEqual(256 * 1024);
    },
    brief,
  ),
  flood("D2", "100 MB of NUL", shell("head -c 100M /dev/zero", long), { stdout: 100 * mib }, ({ ran }) =>
    expect(ran.result.output.stdout.slice(0, 1000)).toBe("\0".repeat(1000)),
  ),
  hostile(
    "D2",
    "three-byte characters without a line's end: cut nowhere in the middle of one",
    async (ground) => {
      const seen = await watched(ground, shell("yes € | tr -d '\\n' | head -c 60000000", long));
      expectReason(seen.ran.result, "ok");
      await expectAccounted(ground, seen, { stdout: 60_000_000, stderr: 0 }, 16);
      expect(seen.ran.result.output).toMatchObject({ stdout_encoding: "utf-8" });
      expect(seen.ran.result.output.stdout).toMatch(/^€+\n\[… \d+ bytes left out …\]\n€+$/);
    },
    brief,
  ),
  flood(
    "D2",
    "one progress line of 200 MB",
    shell("(printf '{\"message\":\"'; head -c 200M /dev/zero | tr '\\0' a; printf '\"}\\n') >&$TOOL_PROGRESS_FD", long),
    {},
    ({ progressCount }) => expect(progressCount).toBe(0),
  ),
];

const onDisk: readonly HostileCase[] = [
  flood("D17", "200 MB where 1 may be stored", shell("yes | head -c 200M", { ...long, log_mb: 1 }), {
    stdout: 200 * mib,
  }),
  hostile(
    "D17",
    "the file of the log sink stops at its cap",
    async (ground) => {
      const ran = await ground.run(shell("yes | head -c 200M", long));
      expectReason(ran.result, "ok");
      const folder = join(ground.house.config.dataDir, "logs", ran.key.tenantId);
      const { size } = await stat(join(folder, `${ran.key.taskId}.1.ndjson`));
      expect(size).toBeLessThanOrEqual(16 * mib);
    },
    brief,
  ),
  hostile("D17", "a follower that has fallen asleep", async (ground) => {
    const { sandboxRoot } = ground.house.config;
    let following: AsyncGenerator | null = null;
    const watching = (async () => {
      const journal = await until("a journal", async () => (await journals(sandboxRoot))[0], 20_000);
      const over = async (): Promise<boolean> => false;
      following = followJournal(journal, 0, over, new AbortController().signal);
      // One batch, and never again.
      await following.next();
    })();
    const seen = await watched(ground, shell("yes | head -c 150M; sleep 1", { ...long, log_mb: 4 }));
    await watching;
    await (following as AsyncGenerator | null)?.return(undefined);
    expectReason(seen.ran.result, "ok");
    await expectAccounted(ground, seen, { stdout: 150 * mib, stderr: 0 }, 4);
  }),
  hostile(
    "D17",
    "head and tail are those of the output, and the gap is what is between",
    async (ground) => {
      const count = 2_000_000;
      const ran = await ground.run(shell(`seq ${count}`, { ...long, log_mb: 1 }));
      expectReason(ran.result, "ok");
      const log = await storedLog(ground, ran);
      const [gap] = gapsOf(log);
      const at = log.findIndex((record) => "gap" in record);
      const [head, tail] = [loggedBytes(log.slice(0, at), "stdout"), loggedBytes(log.slice(at), "stdout")];
      const all = Buffer.from(Array.from({ length: count }, (_, n) => `${n + 1}\n`).join(""));
      expect(all.subarray(0, head.length).equals(head), "the head").toBe(true);
      expect(all.subarray(-tail.length).equals(tail), "the tail").toBe(true);
      expect(gap?.bytes).toBe(all.length - head.length - tail.length);
      expect(inlineBytes(ran.result, "stdout").toString()).toMatch(/^1\n2\n[\s\S]*\n1999999\n2000000\n$/);
    },
    brief,
  ),
  hostile(
    "D17",
    "the engine keeps no log of its own",
    async (ground) => {
      const { docker } = ground.house;
      let config: unknown = null;
      const { result } = await ground.run(shell("yes | head -c 100M; sleep 0.3", long), {
        async watcher(event) {
          if (event.kind !== "output" || config !== null) return;
          config = "asked";
          const [found] = await docker.listContainers({
            filters: { label: ["tool-executor.owner"], status: ["running"] },
          });
          config = found && (await docker.getContainer(found.Id).inspect()).HostConfig.LogConfig;
        },
      });
      expectReason(result, "ok");
      expect(config).toMatchObject({ Type: "none" });
    },
    brief,
  ),
];

/** Of the attempts whose folders are there: those of others come and go. */
async function journals(sandboxRoot: string): Promise<readonly string[]> {
  const paths = (await readdir(sandboxRoot)).map((name) => join(sandboxRoot, name, "journal"));
  return paths.filter((path) => existsSync(path));
}

export const floodRows: readonly HostileCase[] = [...floods, ...endlessLines, ...onDisk];
