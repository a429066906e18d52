import { callbackSender } from "../adapters/http/callback-sender.ts";
import type { LiveEvent, Parts } from "../executor/parts.ts";
import { bell } from "../loops/bell.ts";
import { type CallbackOutcome, callBack } from "../loops/call-back.ts";
import type { CallbackRow } from "../model/outbox.ts";
import { type CallbackSettings, callbackSecrets } from "./callback-config.ts";

/** What tells of results over HTTP, in a server. */
export interface CallbackService {
  /** Sees what each task does; never throws, never waits. */
  watch(event: LiveEvent): void;
  /** Until `stop` aborts, which comes after the tasks have ended. */
  run(stop: AbortSignal): Promise<void>;
}

/** Null where nobody may be called. @throws ExecutorError validation, for a file of the secret that is none. */
export function callbackService(
  { store, objects, clock }: Parts,
  settings: CallbackSettings,
  onTried: (row: CallbackRow, outcome: CallbackOutcome, error: unknown) => void,
  onTrouble: (what: string, error: unknown) => void,
): CallbackService | null {
  if (settings.hosts.length === 0) return null;
  const ended = bell();
  const ports = {
    ...{ store, objects, clock, onTried, onTrouble, bell: ended },
    sender: callbackSender(settings.hosts),
    secrets: callbackSecrets(settings),
    maxTries: settings.maxTries,
  };
  return {
    watch(event) {
      if (event.kind === "state" && event.state === "FINISHED") ended.ring();
    },
    run: (stop) => callBack(ports, stop),
  };
}
