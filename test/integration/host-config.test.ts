import { text } from "node:stream/consumers";
import tar from "tar-stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultLimits, ourImage, productionOptions, runBare, testDocker } from "../support/bare-container.ts";

const tag = "tool-executor-test/pushy:1";

// An image that tries everything an image can ask for.
const dockerfile = (parent: string): string => `FROM ${parent}
ENV FROM_IMAGE=1 LD_PRELOAD=/nowhere.so GODEBUG=x=1
LABEL tool-executor.owner=a:b:1:1 com.docker.compose.project=mine
VOLUME /data
STOPSIGNAL SIGCONT
HEALTHCHECK --interval=1s CMD touch /output/healthy
RUN cp /usr/bin/id /usr/bin/id-as-root && chmod u+s /usr/bin/id-as-root
WORKDIR /proc/self/fd/8
USER root
ENTRYPOINT ["/bin/false"]
CMD ["trick"]
`;

const script = `
echo "user $(id -u) $(id -ru):$(id-as-root -u)"
grep -E '^(Cap|NoNewPrivs|Seccomp):?' /proc/self/status | tr -s '\\t' ' '
echo "env $(env | cut -d= -f1 | grep -vE '^(PWD|SHLVL|_|OLDPWD)$' | sort | tr '\\n' ' ')"
echo "cwd $(pwd)"
echo "writable $(find / -xdev -writable -type d 2>/dev/null | sort | tr '\\n' ' ')$(awk '$5 != "/" && $6 ~ /(^|,)rw(,|$)/ {print $5}' /proc/self/mountinfo | while read p; do [ -d "$p" ] && [ -w "$p" ] && echo "$p"; done | sort | tr '\\n' ' ')"
echo "links $(ls /sys/class/net | tr '\\n' ' ')"
echo "limits $(ulimit -Hn) $(ulimit -Hc) $(ulimit -Hf) $(ulimit -Hl) $(ulimit -Hr)"
echo "empty $(cat /proc/kcore /proc/keys /proc/interrupts /proc/cmdline /proc/timer_list 2>/dev/null | wc -c) $(ls /sys/firmware /sys/devices/virtual/dmi 2>/dev/null | grep -c ^[a-z])"
echo "cgroup $(cut -d: -f3 /proc/self/cgroup | sort -u | tr '\\n' ' ')"
head -c 200M /dev/zero > /workspace/x 2>/dev/null; echo "workspace $(stat -c %s /workspace/x)"
head -c 200M /dev/zero > /tmp/x 2>/dev/null; echo "tmp $(stat -c %s /tmp/x)"
head -c 200M /dev/zero > /output/x 2>/dev/null; echo "output $(stat -c %s /output/x)"
rm /workspace/x; n=0; while : > /workspace/$n; do n=$((n+1)); done 2>/dev/null; echo "inodes $n"
rm /tmp/x; cp /usr/bin/true /tmp/; /tmp/true && echo "tmp-program ran"
rm /output/x; cp /usr/bin/true /output/ && { /output/true 2>/dev/null || echo "output-program refused"; }
echo x > /proc/sysrq-trigger || echo "sysrq refused"
`;

describe("an image that asks for everything", () => {
  const docker = testDocker();
  let parent = "";
  let volumesBefore: readonly string[] = [];
  const said = new Map<string, string>();

  const volumes = async (): Promise<readonly string[]> =>
    ((await docker.listVolumes()).Volumes ?? []).map(({ Name }) => Name).sort();

  beforeAll(async () => {
    parent = await ourImage(docker, "shell");
    const pack = tar.pack();
    pack.entry({ name: "Dockerfile" }, dockerfile(parent));
    pack.finalize();
    const log = await text(
      await docker.buildImage(pack as unknown as NodeJS.ReadableStream, { t: tag, forcerm: true }),
    );
    expect(log).not.toContain('"error"');
    const { Id } = await docker.getImage(tag).inspect();
    volumesBefore = await volumes();

    const options = await productionOptions(docker, Id, { ...defaultLimits, disk_mb: 40, output_mb: 20, inodes: 500 });
    const ended = await runBare(docker, options, ["/bin/bash", "-c", script]);
    for (const line of ended.stdout.trim().split("\n")) {
      const [word = "", ...rest] = line.split(" ");
      said.set(word, rest.join(" ").trim());
    }
  }, 120_000);

  afterAll(async () => {
    await docker.getImage(tag).remove({ force: true });
  });

  test("is run by a user that is not root and cannot become it", () => {
    const [, real, effective] = /^\d+ (\d+):(\d+)$/.exec(said.get("user") ?? "") ?? [];
    expect(Number(real)).toBeGreaterThanOrEqual(200_000);
    expect(effective).toBe(real);
    expect(said.get("NoNewPrivs:")).toBe("1");
    expect(said.get("Seccomp:")).toBe("2");
  });

  test.each(["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"])("has no capability in %s", (name) => {
    expect(said.get(name)).toBe("0000000000000000");
  });

  test("gives its environment and working folder to nobody", () => {
    expect(said.get("env")).toBe("HOME HOSTNAME PATH");
    expect(said.get("cwd")).toBe("/");
  });

  test("writes where the sandbox allows and nowhere else, its own volume included", () => {
    const writable = new Set((said.get("writable") ?? "").split(" "));
    expect([...writable].sort()).toEqual(["/dev/mqueue", "/dev/shm", "/output", "/run/toolx", "/tmp", "/workspace"]);
  });

  test("leaves no volume behind", async () => {
    expect(await volumes()).toEqual(volumesBefore);
  });

  test("sees a loopback device only", () => {
    expect(said.get("links")).toBe("lo");
  });

  test("meets hard limits on files, cores, locked memory and priority", () => {
    expect(said.get("limits")).toBe(`1024 0 ${41 * 1024} 8192 0`);
  });

  test("reads nothing of the host's kernel and hardware, nor where its container stands", () => {
    expect(said.get("empty")).toBe("0 0");
    expect(said.get("cgroup")).toBe("/");
    expect(said.get("sysrq")).toBe("refused");
  });

  test("fills each file system to its size and no further", () => {
    const mib = 1024 * 1024;
    expect(said.get("workspace")).toBe(String(30 * mib));
    expect(said.get("output")).toBe(String(20 * mib));
    expect(said.get("tmp")).toBe(String(10 * mib));
    expect(Number(said.get("inodes"))).toBeLessThanOrEqual(500);
    expect(Number(said.get("inodes"))).toBeGreaterThan(490);
  });

  test("runs programs from /tmp, and none from /output", () => {
    expect(said.get("tmp-program")).toBe("ran");
    expect(said.get("output-program")).toBe("refused");
  });
});
