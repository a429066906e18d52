import { execFile } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import type Dockerode from "dockerode";
import { createOptions, randomIdentity } from "../../src/adapters/docker/host-config.ts";
import { imageDeclarations } from "../../src/adapters/docker/image-declarations.ts";
import { seccompProfile } from "../../src/adapters/docker/seccomp.ts";
import type { House } from "../../src/app/house.ts";
import type { Parts } from "../../src/executor/parts.ts";
import { submit } from "../../src/executor/submit.ts";
import type { Limits } from "../../src/model/limits.ts";
import type { Serving } from "./serving.ts";
import type { CallWatch } from "./slow-calls.ts";

/** What one round of a contestant took, milliseconds, by the name of what was measured. */
export type Round = Readonly<Record<string, number>>;

export interface Contestant {
  readonly name: string;
  /** How often in a row in each round; once where it is left out. Never twice with the same number. */
  readonly times?: number;
  round(number: number): Promise<Round>;
  /** Waits, after a round, until it uses the machine no more. */
  settled?(): Promise<void>;
}

/**
 * The line inside one process, one task a round: `to result` from the request until its result is stored, `to all gone` until its
 * sandbox is removed too.
 */
export function lineContestant(house: House, parts: Parts): Contestant {
  return {
    name: "line, cold",
    async round(number) {
      const task = house.parseTask({
        task_id: `bench-${process.pid}-${number}`,
        tool_name: "shell",
        payload: { argv: ["true"] },
      });
      const startedAt = performance.now();
      let storedAt = 0;
      const result = await submit(
        parts,
        task,
        {
          stdin: null,
          watcher: (event) => {
            if (event.kind === "state" && event.state === "FINISHED") storedAt = performance.now();
          },
        },
        never,
      );
      const goneAt = performance.now();
      if (result.reason !== "ok") throw new Error(`the line: ${result.reason}: ${result.error?.message}`);
      return { "to result": storedAt - startedAt, "to all gone": goneAt - startedAt };
    },
  };
}

/** A whole process, from `exec` to its end. */
export function processContestant(
  name: string,
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Contestant {
  return {
    name,
    async round() {
      const startedAt = performance.now();
      await promisify(execFile)(program, args, { env });
      return { "whole process": performance.now() - startedAt };
    },
  };
}

interface Served {
  /** Whether the task's sandbox must have stood ready, or must not have. */
  readonly isWarm: boolean;
  readonly settled: () => Promise<void>;
  readonly watch?: CallWatch;
}

/** A task of a server, over HTTP, from the request to the stored result. */
export function servedContestant(
  name: string,
  serving: Serving,
  task: object,
  { isWarm, settled, watch }: Served,
): Contestant {
  return {
    name,
    settled,
    async round(number) {
      const task_id = `bench-${process.pid}-${name.replaceAll(/[^A-Za-z0-9]+/g, "-").slice(0, 30)}-${number}`;
      const seen = watch?.begin(name, serving.pid, number);
      const { tookMs, result } = await serving.succeed({ task_id, ...task }, isWarm);
      seen?.(tookMs, result);
      return { "HTTP to result": tookMs };
    },
  };
}

/** The engine's own client: what anybody would do. */
export const dockerRunContestant = (name: string, args: readonly string[]): Contestant =>
  processContestant(name, "docker", ["run", "--rm", ...args], process.env);

/**
 * The least anybody asks of the engine for one container with the same walls: create, attach, start, wait, remove; the network is `none`, as
 * people have it. `withoutNetwork`: made as we make ours, without the engine's part in it.
 */
export async function bareContestant(
  docker: Dockerode,
  imageId: string,
  limits: Limits,
  { name = "bare engine loop", withoutNetwork = false } = {},
): Promise<Contestant> {
  const declared = imageDeclarations(await docker.getImage(imageId).inspect());
  const seccomp = seccompProfile("runc", process.arch);
  return {
    name,
    async round() {
      const startedAt = performance.now();
      const container = await docker.createContainer({
        ...createOptions(
          { image: { name: "bench", id: imageId, env: {} }, runtime: "runc", limits },
          randomIdentity(),
          {
            labels: { owner: nobody, pool: "bench", createdAt: Date.now() },
            seccomp,
            declared,
          },
        ),
        Entrypoint: ["/bin/true"],
        NetworkDisabled: withoutNetwork,
        OpenStdin: false,
        AttachStdin: false,
      });
      try {
        const stream = await container.attach({ stream: true, stdout: true, stderr: true });
        const closed = once(stream.resume(), "end");
        await container.start();
        await closed;
        // Only now: beside the start it may come to the engine when the container has ended already, and then waits for ever for the next end.
        const { StatusCode } = await container.wait();
        if (StatusCode !== 0) throw new Error(`the bare container exited with ${StatusCode}`);
      } finally {
        await container.remove({ force: true, v: true });
      }
      return { "to all gone": performance.now() - startedAt };
    },
  };
}

/** Whoever is killed in the middle leaves a container that any reaper may take. */
const nobody = { host: "0", boot: "0", pid: 0, start: 0 };

const never: AbortSignal = new AbortController().signal;
