import { setTimeout as sleep } from "node:timers/promises";
import type { LiveEvent } from "../executor/parts.ts";
import type { TaskKey } from "../model/task.ts";
import type { Clock } from "../ports/clock.ts";
import type { OutgoingMessage, Transport } from "../ports/transport.ts";
import { encodeProgress, type ProgressMessage } from "../schema/progress-message.ts";

/** Tells the transport what happens to tasks, as fast as it takes it: no task ever waits for it, and what is too much is left out. */
export interface ProgressReporter {
  report(key: TaskKey, message: ProgressMessage): void;
  /** The same for what the line tells. */
  watch(key: TaskKey, event: LiveEvent): void;
  /** Messages that were left out so far. */
  dropped(): number;
  /** Sends until `signal` aborts, then what is left, within 2 s. */
  run(signal: AbortSignal): Promise<void>;
}

const maxWaiting = 2000;
/** How often is sent; of one task's own progress each time only the latest. */
const everyMs = 100;
const lastSendMs = 2000;
/** The result has them all. */
const maxArtifacts = 100;

export function progressReporter(transport: Transport, clock: Clock): ProgressReporter {
  let waiting = new Map<string, OutgoingMessage>();
  let serial = 0;
  let dropped = 0;

  const report = ({ tenantId, taskId }: TaskKey, message: ProgressMessage): void => {
    // A later word of the task itself takes the place of one that has not gone yet.
    const place = message.event === "progress" ? `${tenantId}/${taskId}` : String(serial++);
    if (waiting.size >= maxWaiting && !waiting.has(place)) {
      dropped += 1;
      return;
    }
    const value = encodeProgress({ tenantId, taskId }, message, clock.now());
    waiting.set(place, { channel: "progress", key: taskId, value, headers: [] });
  };
  const flush = async (signal: AbortSignal): Promise<void> => {
    if (waiting.size === 0) return;
    const going = [...waiting.values()];
    waiting = new Map();
    try {
      await transport.publish(going, signal);
    } catch {
      // The next ones are of more use than these.
      dropped += going.length;
    }
  };

  return {
    report,
    watch(key, event) {
      if (event.kind === "state" && event.state === "RUNNING") report(key, { event: "started" });
      else if (event.kind === "progress") report(key, { event: "progress", ...event.progress });
      else if (event.kind === "result") {
        const { status, reason, output } = event.result;
        for (const artifact of output.artifacts.slice(0, maxArtifacts)) report(key, { event: "artifact", artifact });
        report(key, { event: "finished", status, reason });
      }
    },
    dropped: () => dropped,
    async run(signal) {
      while (!signal.aborted) {
        await flush(signal);
        await sleep(everyMs, undefined, { signal }).catch(() => undefined);
      }
      await flush(AbortSignal.timeout(lastSendMs));
    },
  };
}
