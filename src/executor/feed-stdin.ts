import type { Sandbox } from "../ports/sandbox.ts";

/** Gives the task its standard input until the source ends or this is disposed of; a task that does not read holds it back. */
export function feedStdin(sandbox: Sandbox, source: AsyncIterable<Uint8Array> | null): AsyncDisposable {
  if (source === null) return { async [Symbol.asyncDispose]() {} };
  const stop = new AbortController();
  const iterator = source[Symbol.asyncIterator]();
  const stopped = new Promise<{ done: true; value: undefined }>((resolve) => {
    stop.signal.addEventListener("abort", () => resolve({ done: true, value: undefined }), { once: true });
  });
  const feeding = (async () => {
    for (;;) {
      const next = await Promise.race([iterator.next(), stopped]);
      if (stop.signal.aborted) return;
      if (next.done) return sandbox.closeStdin();
      await sandbox.writeStdin(next.value, stop.signal);
    }
  })();
  // A source that fails ends the task's input; the task says itself what it misses.
  const settled = feeding.catch(() => {
    if (!stop.signal.aborted) sandbox.closeStdin();
  });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await settled;
    },
  };
}
