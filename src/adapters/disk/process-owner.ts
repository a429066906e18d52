import { createHash } from "node:crypto";
import { readFile, readlink } from "node:fs/promises";
import { hostname } from "node:os";
import { ExecutorError } from "../../model/failure.ts";
import type { Owner } from "../../model/owner.ts";
import { codeOf } from "./private-folder.ts";

/**
 * Who this process is: no other process of any host ever has the same four.
 *
 * @throws ExecutorError internal, where the kernel shows no `/proc`.
 */
export async function processOwner(): Promise<Owner> {
  const [machine, namespace, boot, start] = await Promise.all([
    machineName(),
    fromProc(() => readlink("/proc/self/ns/pid")),
    fromProc(() => readFile("/proc/sys/kernel/random/boot_id", "utf8")),
    fromProc(() => startOf("self")),
  ]);
  if (typeof start !== "number") throw new ExecutorError("internal", `/proc/self/stat: this process is ${start}`);
  return {
    // A pid means something in its own namespace only, so the namespace is part of the host's name.
    host: createHash("sha256").update(`${machine} ${namespace}`).digest("hex").slice(0, 16),
    boot: boot.trim().replaceAll("-", "").slice(0, 16),
    pid: process.pid,
    start,
  };
}

/**
 * The start time of a process in ticks since boot, or why there is none. `ended`: it only waits for its parent to look.
 * `hidden`: it is there, and this host does not show other users' processes.
 */
export async function startOf(pid: number | "self"): Promise<number | "ended" | "absent" | "hidden"> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold anything, parentheses too: the fields count from the last one.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? "ended" : Number(fields[19]);
  } catch (error) {
    switch (codeOf(error)) {
      case "ENOENT":
      case "ESRCH":
        return pid !== "self" && isThere(pid) ? "hidden" : "absent";
      case "EACCES":
      case "EPERM":
        return "hidden";
    }
    throw error;
  }
}

// Signal 0 reaches nobody; the kernel answers EPERM for a process that is there and not ours.
function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // Ours, so never hidden: it came between the two looks, and is nobody we asked for.
    return false;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

async function machineName(): Promise<string> {
  const id = await readFile("/etc/machine-id", "utf8").catch(() => "");
  return id.trim() === "" ? hostname() : id.trim();
}

async function fromProc<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new ExecutorError("internal", `/proc cannot be read (${codeOf(cause)})`, {
      cause,
      hint: "owners are told apart by /proc: it must be mounted",
    });
  }
}
