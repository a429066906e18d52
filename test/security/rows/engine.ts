import { createHash, randomBytes } from "node:crypto";
import { expect } from "vitest";
import type { House } from "../../../src/app/house.ts";
import { type EngineProxy, engineProxy, type Spoil } from "../../support/engine-proxy.ts";
import { testHouse } from "../../support/house.ts";
import { ownedThings } from "../../support/owned-things.ts";
import { faults } from "../../support/spoiled-frames.ts";
import { until } from "../../support/until.ts";
import type { Ground, Hooks } from "../ground.ts";
import { expectReason, type HostileCase, hostile, shell } from "../hostile-case.ts";

const mib = 1024 * 1024;
const callMs = 1500;

const shortDeadlines = Object.fromEntries(
  ["CREATE", "START", "ATTACH", "KILL", "INSPECT", "REMOVE"].map((verb) => [
    `TOOL_EXECUTOR_ENGINE_${verb}_MS`,
    String(callMs),
  ]),
);

/** A house of its own behind a proxy to the same engine. */
async function behindProxy(
  ground: Ground,
  settings: Readonly<Record<string, string>>,
  act: (house: House, proxy: EngineProxy) => Promise<void>,
  seed = "",
  spoil: Spoil | null = null,
): Promise<void> {
  const enginePath = ground.house.config.dockerHost.replace(/^unix:\/\//, "");
  await using proxy = await engineProxy(enginePath, seed, spoil);
  await using house = await testHouse({
    ...settings,
    DOCKER_HOST: `unix://${proxy.socketPath}`,
    // All of it is to pass the proxy.
    TOOL_EXECUTOR_SANDBOX_DIRECT: "off",
  });
  await act(house, proxy);
}

/** The engine stops at a moment of one task; the hooks stop it, and the task's end is awaited with it stopped or not. */
function stopped(
  moment: string,
  hooks: (house: House, stop: () => Promise<void>, go: () => Promise<void>) => Hooks,
  expected: (result: Awaited<ReturnType<Ground["run"]>>["result"]) => void,
): HostileCase {
  return hostile("C14", `an engine that stops ${moment}`, (ground) =>
    behindProxy(ground, shortDeadlines, async (house, proxy) => {
      const { result } = await ground.run(shell("echo begun; sleep 1; echo ended", { timeout_seconds: 4 }), {
        house,
        ...hooks(house, proxy.freeze, proxy.thaw),
      });
      expected(result);
      expect(result.attempt).toBeLessThanOrEqual(3);
      // The process goes on: with the engine still away it answers, and with it back it works.
      await proxy.thaw();
      const after = await ground.run(shell("echo again"), { house });
      expectReason(after.result, "ok");
      await until(
        "what the engine did late is taken back",
        async () => (await ownedThings(ground.house.docker, house.parts.liveness.self)).length === 0,
        15_000,
      );
    }),
  );
}

const withParts = (house: House, parts: Partial<House["parts"]>): House => ({
  ...house,
  parts: { ...house.parts, ...parts },
});

const stops: readonly HostileCase[] = [
  stopped(
    "while a sandbox is made",
    (house, stop) => {
      const { images } = house.parts;
      // Found once and remembered: what is to fail is the making of the sandbox.
      let found: ReturnType<typeof images.resolve> | null = null;
      const resolve: typeof images.resolve = async (name, signal) => {
        found ??= images.resolve(name, signal);
        const image = await found;
        await stop();
        return image;
      };
      return { house: withParts(house, { images: { ...images, resolve } }) };
    },
    (result) => expectReason(result, "sandbox"),
  ),
  stopped(
    "for two seconds while a task runs",
    (_house, stop, go) => {
      let isStopped = false;
      return {
        async watcher(event) {
          // Once: what the task says at its end would stop the engine again, beyond the end of the case.
          if (event.kind !== "output" || isStopped) return;
          isStopped = true;
          await stop();
          setTimeout(go, 2000);
        },
      };
    },
    (result) => {
      expectReason(result, "ok");
      expect(result.output.stdout).toBe("begun\nended\n");
    },
  ),
  stopped(
    "while a task runs, and stays so",
    (_house, stop) => ({
      async watcher(event) {
        if (event.kind === "output") await stop();
      },
    }),
    (result) => {
      expectReason(result, "timeout");
      expect(result.output.stdout).toBe("begun\n");
    },
  ),
  stopped(
    "before a sandbox is removed",
    (house, stop) => {
      const { objects } = house.parts;
      const put: typeof objects.put = async (key, body, signal) => {
        await stop();
        return objects.put(key, body, signal);
      };
      return { house: withParts(house, { objects: { ...objects, put } }) };
    },
    (result) => {
      expectReason(result, "ok");
      expect(result.attempt).toBe(1);
      expect(result.output.stdout).toBe("begun\nended\n");
    },
  ),
];

function spoiled(name: string, direction: Spoil["direction"], sizeBytes: number): HostileCase {
  return hostile("C18", name, (ground) => {
    const act = async (house: House, proxy: EngineProxy): Promise<void> => {
      const sent = createHash("sha256");
      async function* stdin(): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < sizeBytes; at += mib) {
          const piece = randomBytes(mib);
          sent.update(piece);
          yield piece;
        }
      }
      const came = createHash("sha256");
      const { result } = await ground.run(shell("cat; exit 9", { timeout_seconds: 60 }), {
        house,
        stdin: stdin(),
        watcher: (event) => {
          if (event.kind === "output" && event.stream === "stdout") came.update(event.bytes);
        },
      });
      expectReason(result, "nonzero_exit");
      expect(result.exit_code).toBe(9);
      expect(result.output.stdout_bytes).toBe(sizeBytes);
      expect(came.digest("hex")).toBe(sent.digest("hex"));
      // A plan that met nothing would show nothing.
      expect(new Set(await proxy.met())).toEqual(new Set(faults));
    };
    return behindProxy(ground, {}, act, name, { direction, meanBytes: sizeBytes / 14, lastByte: sizeBytes * 0.7 });
  });
}

export const engineRows: readonly HostileCase[] = [
  ...stops,
  spoiled("a spoiled stream from the sandbox, 64 MiB", "from the sandbox", 64 * mib),
  spoiled("a spoiled stream to the sandbox, 16 MiB", "to the sandbox", 16 * mib),
];
