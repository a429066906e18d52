/**
 * One living (or dead) executor process: host, boot, pid and start time together are never used twice.
 * It stands on every engine object we make and in the lease of every task.
 */
export interface Owner {
  /** The host and PID namespace in which `pid` means something. */
  readonly host: string;
  readonly boot: string;
  readonly pid: number;
  /** Start time of the process in kernel ticks since boot. */
  readonly start: number;
}

/** `host:boot:pid:start`: fits a label and a column. */
export const ownerText = (owner: Owner): string => `${owner.host}:${owner.boot}:${owner.pid}:${owner.start}`;

/** `null` for anything that {@link ownerText} did not write. */
export function parseOwner(text: string): Owner | null {
  const match = /^([0-9a-f]{1,32}):([0-9a-f]{1,32}):(\d{1,10}):(\d{1,20})$/.exec(text);
  if (!match) return null;
  return { host: match[1] ?? "", boot: match[2] ?? "", pid: Number(match[3]), start: Number(match[4]) };
}

/** What can be said of an owner from here. `elsewhere`: another host, judged by its lease or deadline only. */
export type OwnerState = "alive" | "dead" | "elsewhere";
