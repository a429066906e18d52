import { expect } from "vitest";
import { ownerLabel } from "../../../src/adapters/docker/labels.ts";
import type { House } from "../../../src/app/house.ts";
import { ownerText } from "../../../src/model/owner.ts";
import { testPool } from "../../support/house.ts";
import { anOwner } from "../../support/samples.ts";
import type { Ground } from "../ground.ts";
import { brief, expectReason, type HostileCase, hostile, isGvisor, shell } from "../hostile-case.ts";
import { withImage } from "../with-image.ts";

/** The same house, whose `shell` image says what `lines` say. */
const withShellImage = (ground: Ground, lines: readonly string[], act: (house: House) => Promise<void>) =>
  withImage(ground.house, "shell", lines, act);

/** What the engine says of the sandbox while its task runs. */
async function whileRunning(ground: Ground, house: House, command: string, look: (facts: string) => void) {
  const { docker } = house;
  let looking: Promise<void> | null = null;
  const ran = await ground.run(shell(command, { timeout_seconds: 5 }), {
    house,
    watcher: (event) => {
      if (event.kind !== "output" || event.stream !== "stderr" || looking) return;
      looking = (async () => {
        // The neighbour's sandbox is ours too, and may be there at this moment.
        const image = await house.parts.images.resolve("shell", new AbortController().signal);
        const ours = await docker.listContainers({
          filters: { label: [`${ownerLabel}=${ownerText(house.parts.liveness.self)}`] },
        });
        for (const { Id } of ours.filter(({ ImageID }) => ImageID === image?.id))
          look(JSON.stringify(await docker.getContainer(Id).inspect()));
      })();
      // The task goes on when it has been looked at: stderr is the question, the awaited watcher the pause.
      return looking;
    },
  });
  expect(looking, `stderr was never written: ${ran.result.error?.message}`).not.toBeNull();
  return ran.result;
}

export const declarationRows: readonly HostileCase[] = [
  hostile("C10", "a health check that burns a processor", (ground) =>
    withShellImage(ground, ["HEALTHCHECK --interval=1s --retries=1 CMD while :;do :;done"], async (house) => {
      const result = await whileRunning(
        ground,
        house,
        // Long enough for two checks; then what runs beside it is counted.
        "sleep 2.5; echo now >&2; ps -e -o args= | grep -c '[w]hile :;do :'; true",
        (facts) => {
          expect(JSON.parse(facts)).toMatchObject({ ExecIDs: null, Config: { Healthcheck: { Test: ["NONE"] } } });
        },
      );
      expectReason(result, "ok");
      expect(result.output.stdout).toBe("0\n");
      if (isGvisor(result)) expect(result.metrics.cpu_ms).toBeNull();
      else expect(result.metrics.cpu_ms ?? Number.NaN).toBeLessThan(500);
    }),
  ),
  hostile("C11", "an image with a stop signal, an entry point, a user, a volume and labels of its own", (ground) =>
    withShellImage(
      ground,
      [
        "STOPSIGNAL SIGCONT",
        'ENTRYPOINT ["/bin/sh", "-c", "echo taken over"]',
        'CMD ["taken", "over"]',
        "ONBUILD RUN touch /taken-over",
        `LABEL ${ownerLabel}=${ownerText(anOwner())} tool-executor.pool=theirs tool-executor.created=1`,
        "LABEL com.example.agent=on",
        "ENV LD_PRELOAD=/lib/evil.so BASH_ENV=/evil.sh TAKEN=over",
        "RUN mkdir -p /srv/hole && chmod 777 /srv/hole",
        "VOLUME /srv/hole",
        "WORKDIR /srv/hole",
        "USER root",
        "EXPOSE 22",
      ],
      async (house) => {
        const result = await whileRunning(
          ground,
          house,
          "id -u; pwd; env | grep -cE '^(LD_PRELOAD|BASH_ENV|TAKEN)='; " +
            "touch /srv/hole/x 2>/dev/null && echo written; ls -d /taken-over 2>/dev/null; echo look >&2; true",
          (facts) => {
            const { Config, Mounts } = JSON.parse(facts);
            expect(Config).toMatchObject({ StopSignal: "SIGKILL", Entrypoint: ["/sbin/sandbox-init"] });
            expect(Config.Labels).toMatchObject({ "tool-executor.pool": testPool, "com.example.agent": "" });
            expect(Config.Labels[ownerLabel]).toBe(ownerText(house.parts.liveness.self));
            expect(Config.User).toMatch(/^[1-9]\d{5,9}:[1-9]\d{5,9}$/);
            expect(Mounts.filter(({ Type }: { Type: string }) => Type === "volume")).toEqual([]);
          },
        );
        expectReason(result, "ok");
        const [uid, cwd, env, ...rest] = result.output.stdout.trim().split("\n");
        expect(Number(uid)).toBeGreaterThanOrEqual(200_000);
        expect([cwd, env, rest]).toEqual(["/workspace", "0", []]);
      },
    ),
  ),
  ...["/etc", "/sbin", "/workspace/cache", "/"].map((path) =>
    hostile(
      "C11",
      `an image with a volume at ${path}`,
      (ground) =>
        withShellImage(ground, [`VOLUME ${path}`], async (house) => {
          const { result, sandboxId } = await ground.run(shell("echo it ran"), { house });
          expectReason(result, "image");
          expect(sandboxId).toBeNull();
          expect(result.output.stdout).toBe("");
        }),
      brief,
    ),
  ),
];
