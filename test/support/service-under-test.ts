import type { House } from "../../src/app/house.ts";
import { type TransportService, transportService } from "../../src/app/transport-service.ts";
import type { LiveEvent } from "../../src/executor/parts.ts";
import { bell } from "../../src/loops/bell.ts";
import type { Taken } from "../../src/loops/intake.ts";
import { schedule } from "../../src/loops/schedule.ts";
import { ExecutorError } from "../../src/model/failure.ts";
import type { TaskKey } from "../../src/model/task.ts";
import type { Transport } from "../../src/ports/transport.ts";

/** Intake, relay and execution in this process, on any transport, until dispose. */
export interface ServiceUnderTest extends AsyncDisposable {
  readonly service: TransportService;
  /** Each delivery's fate, in the order they were dealt with. */
  readonly taken: readonly Taken[];
  /** Attempts that have ended with a result. */
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
    onWaiting: () => work.ring(),
    onTaken: (each) => taken.push(each),
    onPublished: () => undefined,
    onTrouble: (what, error) => troubles.push(`${what}: ${error instanceof Error ? error.message : String(error)}`),
  });
  const [stopIntake, stopRelay] = [new AbortController(), new AbortController()];
  const running = service.run(stopIntake.signal, stopRelay.signal);
  const watch = (key: TaskKey, event: LiveEvent): void => {
    if (event.kind === "result") attempts.push(`${key.taskId}/${event.result.attempt}`);
    service.watch(key, event);
  };
  const scheduled = schedule(parts, { slots, pollMs: 50, bell: work, watch });
  const executing = scheduled.run(stopIntake.signal, new AbortController().signal);
  return {
    service,
    taken,
    attempts,
    troubles,
    async [Symbol.asyncDispose]() {
      stopIntake.abort(new ExecutorError("cancelled", "the test is over"));
      await executing;
      stopRelay.abort(new ExecutorError("cancelled", "the test is over"));
      await running;
      await transport[Symbol.asyncDispose]();
    },
  };
}
