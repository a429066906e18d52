import { createHash } from "node:crypto";
import { emptyOutput } from "../executor/conclude.ts";
import type { Result } from "../model/result.ts";
import { traceOf } from "../model/trace-context.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import { type OutgoingMessage, sizeOf, type Transport } from "../ports/transport.ts";
import { encodeResult } from "../schema/encode-result.ts";

/**
 * A stored result as it is sent: verbatim, so that sending it again sends the same bytes. One that the transport does not take whole is
 * put into the object store, and its envelope, also always the same, says where.
 */
export async function resultMessage(
  transport: Transport,
  objects: ObjectStore,
  bytes: Buffer,
  signal: AbortSignal,
): Promise<OutgoingMessage> {
  // Our own bytes: they were made by `encodeResult`.
  const result = JSON.parse(bytes.toString("utf8")) as Result;
  const trace = traceOf(result.metadata);
  const whole: OutgoingMessage = {
    channel: "results",
    key: result.task_id,
    value: bytes,
    headers: [
      ["result-sha256", Buffer.from(createHash("sha256").update(bytes).digest("hex"))],
      ...(trace === null ? [] : [["traceparent", Buffer.from(trace.traceparent)] as const]),
    ],
  };
  if (result.task_id === null || sizeOf(whole) <= transport.maxBytes("results")) return whole;
  return { ...whole, value: await byReference(bytes, objects, signal) };
}

/** Puts a stored result into the object store, and answers the envelope that says where: for one result always the same bytes. */
export async function byReference(bytes: Buffer, objects: ObjectStore, signal: AbortSignal): Promise<Buffer> {
  const result = JSON.parse(bytes.toString("utf8")) as Result;
  const object = `tasks/${result.tenant_id}/${result.task_id}/${result.attempt}/result.json`;
  const body = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes;
  };
  await objects.put(object, body(), signal);
  return encodeResult(envelope(result, object));
}

/** Everything that has a bound of its own. */
function envelope(result: Result, object: string): Result {
  const { stdout_bytes, stderr_bytes, truncated, artifacts_object, logs_object } = result.output;
  const output = { ...emptyOutput, stdout_bytes, stderr_bytes, truncated, artifacts_object, logs_object };
  return { ...result, output, result_object: object };
}
