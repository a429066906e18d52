import type { FastifyReply } from "fastify";
import { HttpProblem } from "./problem.ts";

/** Aborts when whoever asked has gone away before the answer's end, or when the door closes; its reason is what may be answered. */
export function gone({ raw }: FastifyReply, closing: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const stop = (): void =>
    controller.abort(closing.aborted ? closing.reason : new HttpProblem("bad_request", "whoever asked has gone away"));
  if (closing.aborted || raw.destroyed) stop();
  closing.addEventListener("abort", stop, { once: true });
  raw.once("close", () => {
    closing.removeEventListener("abort", stop);
    if (!raw.writableFinished) stop();
  });
  return controller.signal;
}
