/** What a process that serves is told from outside, step by step. */
export interface Shutdown extends Disposable {
  /** Aborts at the first signal: take nothing new, let what runs end. */
  readonly drain: AbortSignal;
  /** Aborts at the second: end what runs. A third ends the process, wherever it is. */
  readonly now: AbortSignal;
}

const signals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/** The part of `process` that is used. */
export interface SignalSource {
  on(name: string, listener: () => void): unknown;
  removeListener(name: string, listener: () => void): unknown;
  rawListeners(name: string): readonly unknown[];
  exit(code: number): void;
}

/**
 * Takes the place of whatever listens to the process's signals, until disposed; `already`: one came before.
 */
export function takeSignals(source: SignalSource, already: AbortSignal): Shutdown {
  const [drain, now] = [new AbortController(), new AbortController()];
  const onSignal = (): void => {
    if (now.signal.aborted) source.exit(130);
    else if (drain.signal.aborted) now.abort();
    else drain.abort();
  };
  const before = signals.flatMap((name) =>
    source.rawListeners(name).map((listener) => ({ name, listener: listener as () => void })),
  );
  for (const { name, listener } of before) source.removeListener(name, listener);
  for (const name of signals) source.on(name, onSignal);
  if (already.aborted) onSignal();
  return {
    drain: drain.signal,
    now: now.signal,
    [Symbol.dispose]() {
      for (const name of signals) source.removeListener(name, onSignal);
      for (const { name, listener } of before) source.on(name, listener);
    },
  };
}
