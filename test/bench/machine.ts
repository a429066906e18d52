import { readFile } from "node:fs/promises";
import { cpus, loadavg, totalmem } from "node:os";
import type Dockerode from "dockerode";

/** What figures were seen on, by name, for people. Null for an engine that does not answer: not every part needs one. */
export async function machine(docker: Dockerode): Promise<Readonly<Record<string, string>>> {
  const [processor] = cpus();
  const engine = await Promise.all([docker.version(), docker.info()]).catch(() => null);
  return {
    machine: `${cpus().length} × ${processor?.model ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: (await readFile("/proc/sys/kernel/osrelease", "utf8")).trim(),
    engine:
      engine === null
        ? "none"
        : `${engine[0].Version} (API ${engine[0].ApiVersion}), cgroup v${engine[1].CgroupVersion ?? "1"}, ${engine[1].Driver}, runtime ${engine[1].DefaultRuntime}`,
    node: process.version,
  };
}

/** How busy the machine was over one, five and fifteen minutes. */
export const load = (): string =>
  loadavg()
    .map((each) => each.toFixed(2))
    .join(" ");
