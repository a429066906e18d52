import type { House } from "../../src/app/house.ts";
import { type TransportService, transportService } from "../../src/app/transport-service.ts";
import { attemptTask } from "../../src/executor/attempt-task.ts";
import type { Parts } from "../../src/executor/parts.ts";
import { bell } from "../../src/loops/bell.ts";
import type { Taken } from "../../src/loops/intake.ts";
import { ExecutorError } from "../../src/model/failure.ts";
import type { Transport } from "../../src/ports/transport.ts";

/** Intake, relay and execution in this process, on any transport, until dispose. */
export interface ServiceUnderTest extends AsyncDisposable {
  readonly service: TransportService;
  /** Each delivery's fate, in the order they were dealt with. */
  readonly taken: readonly Taken[];
  /** Attempts that were begun. */
  readonly attempts: readonly string[];
  readonly troubles: readonly string[];
}

/** @param slots sandboxes at once; 0 takes calls in and runs none. */
export function serviceUnderTest(
  { parts, parseTask }: Pick<House, "parts" | "parseTask">,
  transport: Transport,
  slots = 2,
): ServiceUnderTest {
  const work = bell();
  const taken: Taken[] = [];
  const attempts: string[] = [];
  const troubles: string[] = [];
  const service = transportService(parts, parseTask, transport, {
    onAccepted: () => work.ring(),
    onTaken: (each) => taken.push(each),
    onPublished: () => undefined,
    onTrouble: (what, error) => troubles.push(`${what}: ${error instanceof Error ? error.message : String(error)}`),
  });
  const [stopIntake, stopRelay] = [new AbortController(), new AbortController()];
  const running = service.run(stopIntake.signal, stopRelay.signal);
  const lanes = Array.from({ length: slots }, () => lane(parts, service, work, attempts, stopIntake.signal));
  return {
    service,
    taken,
    attempts,
    troubles,
    async [Symbol.asyncDispose]() {
      stopIntake.abort(new ExecutorError("cancelled", "the test is over"));
      await Promise.all(lanes);
      stopRelay.abort(new ExecutorError("cancelled", "the test is over"));
      await running;
      await transport[Symbol.asyncDispose]();
    },
  };
}

/** Runs one task after the other, as the schedule of a server does with many. */
async function lane(
  parts: Parts,
  service: TransportService,
  work: ReturnType<typeof bell>,
  attempts: string[],
  stop: AbortSignal,
): Promise<void> {
  const never = new AbortController().signal;
  while (!stop.aborted) {
    const attempt = await parts.store.leaseNext(parts.liveness.self, parts.policy.leaseMs, never);
    const record = attempt === null ? null : await parts.store.get(attempt.key, never);
    if (attempt === null || record === null) await work.heard(50, stop);
    else {
      attempts.push(`${attempt.key.taskId}/${attempt.number}`);
      const watcher = service.watch.bind(service, attempt.key);
      await attemptTask(parts, attempt, record, { watcher, stdin: null }, never);
    }
  }
}
