import { readdirSync, readFileSync } from "node:fs";
import { globalAgent } from "node:http";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Descriptors this process holds, connections that the HTTP client keeps for later use not counted. */
export function openFileCount(): number {
  for (const sockets of Object.values(globalAgent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  return readdirSync("/proc/self/fd").length;
}

/** Resident memory after a collection, bytes. */
export function settledRssBytes(): number {
  collectGarbage();
  return process.memoryUsage.rss();
}

/** One line of `/proc/meminfo`, bytes. */
export function hostMemoryBytes(field: string): number {
  const kib = new RegExp(`^${field}: +(\\d+) kB$`, "m").exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
  if (kib === undefined) throw new Error(`/proc/meminfo has no ${field}`);
  return Number(kib) * 1024;
}

/** Host processes in a container's cgroup, of whatever PID namespace. */
export function processesOf(containerId: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => cgroupOf(pid).includes(containerId))
    .map(Number);
}

function cgroupOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, "utf8");
  } catch {
    // Gone between the two looks.
    return "";
  }
}

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  if (typeof gc !== "function") throw new Error("this engine has no gc to expose");
  gc();
}
