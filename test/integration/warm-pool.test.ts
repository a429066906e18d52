import { describe, expect, test } from "vitest";
import { processOwner } from "../../src/adapters/disk/process-owner.ts";
import { testDocker } from "../support/bare-container.ts";
import { ownedThings } from "../support/owned-things.ts";
import { type WarmHouse, warmHouse } from "../support/warm-house.ts";

const docker = testDocker();
const ourThings = async (): Promise<readonly string[]> => ownedThings(docker, await processOwner());

test("a task gets a sandbox that stands ready and its result says so; closed, the pool leaves nothing", async () => {
  await using house = await warmHouse(2);
  await house.ready(2);
  const result = await house.run("echo hello; echo kept > /output/kept", {
    files: [{ path: "in.txt", content_base64: Buffer.from("given").toString("base64") }],
  });
  expect(result).toMatchObject({
    reason: "ok",
    sandbox: { warm: true, image: "shell" },
    output: { stdout: "hello\n", artifacts: [{ path: "kept" }] },
  });
  expect(result.metrics.memory_peak_bytes).toBeGreaterThan(0);
  expect(await house.runCold("true")).toMatchObject({ reason: "ok", sandbox: { warm: false } });
  await house.pool.close();
  expect(await ourThings()).toEqual([]);
  expect(await house.run("true")).toMatchObject({ reason: "ok", sandbox: { warm: false } });
});

test("a burst larger than the pool: every call is answered, as many as stood ready or came meanwhile warm", async () => {
  await using house = await warmHouse(3, { TOOL_EXECUTOR_MAX_WORKERS: "12" });
  await house.ready(3);
  const results = await Promise.all(Array.from({ length: 10 }, (_, index) => house.run(`echo ${index}; sleep 1`)));
  expect(results.map(({ reason, output }) => [reason, output?.stdout])).toEqual(
    results.map((_, index) => ["ok", `${index}\n`]),
  );
  const warm = results.filter(({ sandbox }) => sandbox?.warm).length;
  expect([3, 4]).toContain(warm);
});

describe("limits other than those it was started with", () => {
  const changed: readonly [string, object, string, object][] = [
    ["less memory", { memory_mb: 64 }, "head -c 150M /dev/zero | tail", { reason: "oom" }],
    ["more memory", { memory_mb: 700 }, "head -c 400M /dev/zero | tail | wc -c", { reason: "ok" }],
    [
      "fewer processes",
      { pids: 16 },
      "for i in $(seq 40); do sleep 3 & done 2>/dev/null; exit 1",
      { reason: "pids_limit" },
    ],
    ["more processes", { pids: 300 }, "for i in $(seq 200); do sleep 3 & done; jobs | wc -l", { reason: "ok" }],
  ];
  test.each(changed)("are in force: %s", async (_name, limits, command, end) => {
    await using house = await warmHouse(1);
    await house.ready(1);
    const result = await house.run(command, { limits });
    expect(result).toMatchObject({ ...end, sandbox: { warm: true, limits } });
  });

  test("are in force: less of the processors, against the same loop with more", async () => {
    await using house = await warmHouse(2);
    await house.ready(2);
    const loop = "timeout 2 sh -c 'while :; do :; done'; true";
    const share = async (cpus: number): Promise<number> => {
      const { metrics, sandbox } = await house.run(loop, { limits: { cpus } });
      expect(sandbox?.warm).toBe(true);
      return (metrics.cpu_ms ?? Number.NaN) / (metrics.run_ms ?? Number.NaN);
    };
    const quarter = await share(0.2);
    expect(quarter).toBeLessThan(0.3);
    expect(await share(1)).toBeGreaterThan(quarter * 1.5);
  });
});

/** Everything of its surroundings that a task can look at, but for what changes from one sandbox to the next, in named parts. */
const surroundings = `
exec 2>&1
part() { echo "== $1"; }
part environment; env | sort
part place; pwd; hostname; umask; tr '\\0' ' ' < /proc/$$/cmdline; echo
part user; id; cat /etc/passwd /etc/group
part descriptors; ls -l /proc/self/fd >/tmp/seen; awk '{print $1, $9}' /tmp/seen; rm /tmp/seen
part signals; grep -E '^(Sig|Shd|Cap|NoNew|Secc|Umask|Uid|Gid|Groups|Threads|FDSize|Cpus_allowed_list)' /proc/self/status
part limits; cat /proc/$$/limits
part session; awk '{print $5 == $1, $6 == $1, $7, $18, $19, $20}' /proc/$$/stat
part processes; set -- /proc/[0-9]*; echo $#
part first; tr '\\0' ' ' < /proc/1/cmdline; echo; cat /proc/1/limits; grep -E '^(Cap|NoNew|Secc|Uid|Gid|Groups)' /proc/1/status; cat /proc/1/oom_score_adj /proc/$$/oom_score_adj
part mounts; awk '{print $5, $6, $(NF-2), $(NF-1), $NF}' /proc/self/mountinfo | sed 's/lowerdir=[^ ]*//' | sort
part space; df -P -B1 /workspace /tmp /output /run/toolx /dev/shm | awk '{print $2, $6}'; df -P -i /workspace /tmp /output | awk '{print $2, $3, $6}'
part files; ls -lanR --time-style=+ /workspace /tmp /output /dev/shm /dev/mqueue; ls -lan --time-style=+ /run/toolx | awk '{print $1, $2, $3, $4, $6}'
part contents; find /workspace /tmp /output -type f -exec cksum {} +
part cgroup; cat /proc/self/cgroup | sed 's/^[0-9]*://' | sort; cd /sys/fs/cgroup && for f in $(find . -name '*.limit_in_bytes' -o -name '*.max' -o -name 'cpu.cfs*' -o -name 'cpu.shares' -o -name 'cpu.weight' -o -name 'cpuset.cpus' -o -name 'memory.swappiness' -o -name 'memory.oom_control' -o -name 'memory.high' | sort); do echo "$f $(cat $f 2>&1 | tr '\\n' ' ')"; done; cd
part namespaces; ls /proc/self/ns; ls /sys/class/net
part kernel; uname -a; ls /dev; cat /proc/sys/kernel/hostname /proc/sys/fs/mqueue/msg_max
part given; cat; cat in.txt; stat -c '%A %s %U' in.txt
`;

/** By part; the user's number, which is longer or shorter, and the sandbox's own id replaced. */
function partsOf(stdout: string): ReadonlyMap<string, string> {
  const uid = /uid=(\d+)/.exec(stdout)?.[1] ?? "none";
  const alike = stdout
    .replaceAll(uid, "UID")
    .replaceAll(/[0-9a-f]{64}/g, "ID")
    .replaceAll(/ +/g, " ");
  const parts = alike.split(/^== /m);
  return new Map(parts.slice(1).map((part) => [part.slice(0, part.indexOf("\n")), part.slice(part.indexOf("\n") + 1)]));
}

describe.each(["runc", "runsc"])("under %s, a sandbox that stood ready", (runtime) => {
  const cases: readonly [string, object][] =
    runtime === "runc"
      ? [
          ["with the limits that it was started with", {}],
          ["with others", { memory_mb: 300, cpus: 0.5, pids: 77 }],
        ]
      : [["with the limits that it was started with", {}]];

  test.each(cases)("cannot be told from one that was made for its task: %s", async (_name, limits) => {
    const rest = {
      ...{ limits, runtime, stdin: "given\n", env: { MODE: "ci" } },
      files: [{ path: "in.txt", content_base64: Buffer.from("file\n").toString("base64") }],
    };
    await using house = await warmHouse(1, { TOOL_EXECUTOR_RUNTIMES: runtime });
    const processLimits: number[] = [];
    const look = async (run: WarmHouse["run"]): Promise<ReadonlyMap<string, string>> => {
      const { reason, output } = await run(surroundings, rest);
      expect(reason).toBe("ok");
      // The kernel counts sandbox-init's own threads too: of two sandboxes made alike, one may have a thread more.
      const counted = /^Max processes +(\d+) +\1 /m;
      processLimits.push(Number(counted.exec(output?.stdout ?? "")?.[1]));
      return partsOf((output?.stdout ?? "").replace(counted, "Max processes as asked "));
    };
    const cold = [await look(house.runCold), await look(house.runCold)];
    await house.ready(1);
    const warm = await look(async (...call) => {
      const result = await house.run(...call);
      expect(result.sandbox?.warm).toBe(true);
      return result;
    });
    expect([...warm.keys()].length).toBeGreaterThan(15);
    expect(Object.fromEntries(cold[1] ?? [])).toEqual(Object.fromEntries(cold[0] ?? []));
    expect(Object.fromEntries(warm)).toEqual(Object.fromEntries(cold[0] ?? []));
    expect(Math.max(...processLimits) - Math.min(...processLimits), `${processLimits}`).toBeLessThanOrEqual(1);
  });
});

test("what stands ready uses no processor time to speak of", { timeout: 120_000 }, async () => {
  await using house = await warmHouse(3);
  await house.ready(3);
  const usedNs = async (): Promise<number> => {
    const owner = await processOwner();
    const ids = (await docker.listContainers({ filters: { label: ["tool-executor.pool=warm"] } }))
      .filter(({ Labels }) => Labels["tool-executor.owner"]?.includes(`:${owner.pid}:`))
      .map(({ Id }) => Id);
    expect(ids).toHaveLength(3);
    const stats = await Promise.all(ids.map((id) => docker.getContainer(id).stats({ stream: false })));
    return stats.reduce((sum, { cpu_stats }) => sum + cpu_stats.cpu_usage.total_usage, 0);
  };
  // An answer takes the engine some seconds: two in a row have that between them.
  const [before, startedAt] = [await usedNs(), performance.now()];
  const after = await usedNs();
  const share = (after - before) / 1e6 / (performance.now() - startedAt);
  expect(share).toBeLessThan(0.01);
});
