import type { House } from "../../src/app/house.ts";
import { type ServiceEvents, type TransportService, transportService } from "../../src/app/transport-service.ts";
import type { LiveEvent } from "../../src/executor/parts.ts";
import type { AtOnce } from "../../src/executor/take-in.ts";
import { atOnce as beginsAtOnce } from "../../src/loops/at-once.ts";
import { bell } from "../../src/loops/bell.ts";
import type { Taken } from "../../src/loops/intake.ts";
import { schedule } from "../../src/loops/schedule.ts";
import { ExecutorError } from "../../src/model/failure.ts";
import type { TaskKey } from "../../src/model/task.ts";
import type { ReadySandboxes } from "../../src/ports/sandbox.ts";
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

/**
 * @param slots sandboxes at once; 0 takes calls in and runs none.
 * @param ready those of `parts` that stand ready; null: none does.
 */
export function serviceUnderTest(
  { parts, parseTask }: Pick<House, "parts" | "parseTask">,
  transport: Transport,
  slots = 2,
  ready: ReadySandboxes | null = null,
): ServiceUnderTest {
  const work = bell();
  const taken: Taken[] = [];
  const attempts: string[] = [];
  const troubles: string[] = [];
  let begins: AtOnce | null = null;
  const atOnce: AtOnce = { prepared: async (...given) => (await begins?.prepared(...given)) ?? null };
  const events: ServiceEvents = {
    onWaiting: () => work.ring(),
    onTaken: (each) => taken.push(each),
    onPublished: () => undefined,
    onTrouble: (what, error) => troubles.push(`${what}: ${error instanceof Error ? error.message : String(error)}`),
  };
  const service = transportService(parts, parseTask, transport, events, atOnce);
  const [stopIntake, stopRelay] = [new AbortController(), new AbortController()];
  const running = service.run(stopIntake.signal, stopRelay.signal);
  const watch = (key: TaskKey, event: LiveEvent): void | Promise<void> => {
    if (event.kind === "result") attempts.push(`${key.taskId}/${event.result.attempt}`);
    return service.watch(key, event);
  };
  const scheduled = schedule(parts, { slots, pollMs: 50, bell: work, watch });
  if (ready !== null) begins = beginsAtOnce(parts, scheduled, ready);
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
