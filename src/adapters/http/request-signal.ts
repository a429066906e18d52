import type { FastifyReply } from "fastify";

/** Aborts when whoever asked has gone away before the answer's end, or when the door closes. */
export function gone({ raw }: FastifyReply, closing: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => controller.abort(new Error("nobody waits for the answer any more"));
  if (closing.aborted || raw.destroyed) stop();
  closing.addEventListener("abort", stop, { once: true });
  raw.once("close", () => {
    closing.removeEventListener("abort", stop);
    if (!raw.writableFinished) stop();
  });
  return controller.signal;
}
