import { readFile } from "node:fs/promises";
import { cpus } from "node:os";

/** Of the kernel's figures in `/proc/…/stat`; the same on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** Processor time that a process has had, all its threads, seconds. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // Its name, which may have spaces, ends with the last bracket.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** `VmRSS` or `VmHWM` of a process, MiB. */
export async function memoryMib(pid: number, field: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) / 1024;
}

/** How long all processors together were busy, and not, since this was called: a share from 0 to 1. */
export function busyShare(): () => number {
  const before = total();
  return () => {
    const now = total();
    const all = now.all - before.all;
    return all === 0 ? 0 : 1 - (now.idle - before.idle) / all;
  };
}

function total(): { readonly idle: number; readonly all: number } {
  let [idle, all] = [0, 0];
  for (const { times } of cpus()) {
    idle += times.idle;
    all += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { idle, all };
}
