import { takeOver } from "../executor/take-over.ts";
import { type ReapPorts, type ReapReport, reapOnce } from "../loops/reap.ts";
import type { Schedule } from "../loops/schedule.ts";
import { type Owner, ownerText } from "../model/owner.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Clock } from "../ports/clock.ts";
import { retryClass } from "../tools/tool.ts";
import type { Config } from "./config.ts";
import type { House } from "./house.ts";
import { reapPorts } from "./reaper.ts";

/** Passes of the reaper for a server: what still runs under a dead executor goes on here, and what may run again is queued. */
export async function serverReaper(config: Config, { parts }: House, { underWay, adopt }: Schedule) {
  const ports = await reapPorts(config, parts);
  const dead = freshlyDead(parts.clock);
  const serverPorts: ReapPorts = {
    ...ports,
    isUnderWay: underWay.has,
    mayBeAdopted: dead.isFresh,
    async adopt(record, signal) {
      const found = await takeOver(parts, record, signal);
      if (found.kind !== "taken") return found;
      adopt(found.taken);
      return { kind: "adopted" };
    },
    // A task that was never given its command has done nothing. Of the others only the safe ones may begin again, and none
    // for ever: it may be what its executors died of.
    mayRunAgain: ({ task, state, strikes }) => {
      if (strikes + 1 >= parts.policy.maxStrikes) return false;
      if (state === "LEASED" || state === "STARTING") return true;
      const tool = parts.catalog.list().find(({ name }) => name === task.tool_name);
      return tool !== undefined && retryClass(tool, task) === "safe";
    },
  };
  return async (signal: AbortSignal): Promise<ReapReport> => {
    const report = await reapOnce(serverPorts, signal);
    dead.passed();
    return report;
  };
}

/** An executor of the same store looks this often at least. */
const othersMayAdoptMs = 10_000;

/** Whether an owner was first seen dead a moment ago; of those who were dead at the first pass nobody knows. */
function freshlyDead({ monotonicMs }: Clock): { isFresh(owner: Owner): boolean; passed(): void } {
  let isFirst = true;
  const firstSeen = new Map<string, number>();
  return {
    isFresh(owner) {
      const [name, now] = [ownerText(owner), monotonicMs()];
      const seenAt = firstSeen.get(name) ?? (isFirst ? Number.NEGATIVE_INFINITY : now);
      firstSeen.set(name, seenAt);
      return now - seenAt < othersMayAdoptMs;
    },
    passed() {
      isFirst = false;
    },
  };
}

/** What a pass took away, for metrics, log and whoever started the server. */
export function tellReaped(report: ReapReport, counted: Metrics, log: Log, say: (line: string) => void): void {
  const { containers, networks, volumes, directories, sockets } = report.removed;
  counted.reaped("container", containers);
  counted.reaped("network", networks);
  counted.reaped("volume", volumes);
  counted.reaped("folder", directories);
  counted.reaped("socket", sockets);
  const { ended, requeued, adopted } = report;
  if (containers + networks + volumes + directories + sockets + ended + requeued + adopted === 0) return;
  log.note("warn", "reaped", { ...report.removed, ended, requeued, adopted });
  say(
    `reaped   ${containers} containers, ${directories} folders; ${adopted} tasks taken over, ${requeued} run again, ${ended} ended`,
  );
}
