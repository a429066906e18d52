import { cancelTask } from "../executor/cancel-task.ts";
import { concludeRefusal } from "../executor/conclude.ts";
import type { Parts } from "../executor/parts.ts";
import { type AtOnce, hasBegun, takeIn } from "../executor/take-in.ts";
import { ExecutorError, isAway, reasonOf, reasonTable } from "../model/failure.ts";
import { deadLetterHeaders } from "../model/outbox.ts";
import type { Result } from "../model/result.ts";
import { type JsonObject, type Task, type TaskKey, taskKey } from "../model/task.ts";
import { traceContext, traceOf, withTrace } from "../model/trace-context.ts";
import type { Span, SpanAttributes } from "../observe/tracing.ts";
import type { Delivery, Headers, Message, Transport } from "../ports/transport.ts";
import { parseControl } from "../schema/control-message.ts";
import { encodeResult } from "../schema/encode-result.ts";
import { requestCaps } from "../schema/request-caps.ts";
import { type RequestIds, requestIds } from "../schema/request-ids.ts";
import { type DeadLetters, deadLetters, sourceText } from "./dead-letters.ts";
import { resultMessage } from "./result-message.ts";
import { striking } from "./striking.ts";

export interface IntakePorts {
  readonly parts: Parts;
  readonly transport: Transport;
  readonly atOnce: AtOnce | null;
  /** @throws ExecutorError validation | policy_denied */
  readonly parseTask: (body: unknown) => Task;
  /** Of a request; more is not even looked into. */
  readonly maxRequestBytes: number;
  /** A new task is in the store, and has begun or waits for its turn; before its message is acknowledged. */
  readonly onAccepted: (key: TaskKey, hasBegun: boolean) => void;
  /** Called once for each delivery that was dealt with. */
  readonly onTaken: (taken: Taken) => void;
}

/** What became of a delivery. */
export type Taken =
  | "accepted"
  /** The same request again; a result that is there was sent again. */
  | "duplicate"
  /** Answered, and not stored: its sender reads why. */
  | "refused"
  /** Among the dead letters. */
  | "dead_letter"
  | "tombstone"
  | "cancel";

/** Takes in what the transport hands out until `signal` aborts: durable, or answered, before it is acknowledged. */
export async function intake(ports: IntakePorts, signal: AbortSignal): Promise<void> {
  await ports.transport.consume(taking(ports), signal);
}

/** The taking in of one delivery. It rejects when it must come again. */
export function taking(ports: IntakePorts): (delivery: Delivery, signal: AbortSignal) => Promise<void> {
  const { parts, transport } = ports;
  const desk: Desk = {
    ...ports,
    letters: deadLetters(transport, parts.objects, parts.clock, parts.store),
    strikes: striking(parts.store),
  };
  return async (delivery, signal) => ports.onTaken(await taken(desk, delivery, signal));
}

interface Desk extends IntakePorts {
  readonly letters: DeadLetters;
  readonly strikes: ReturnType<typeof striking>;
}

async function taken(desk: Desk, delivery: Delivery, signal: AbortSignal): Promise<Taken> {
  if (delivery.kind === "unreadable")
    return await answerUnknown(desk, delivery, new ExecutorError("validation", delivery.why), signal);
  if (delivery.value === null) return "tombstone";
  switch (delivery.channel) {
    case "tools":
      return await takeCall(desk, delivery, delivery.value, signal);
    case "control":
      return await takeControl(desk, delivery, delivery.value, signal);
  }
}

async function takeCall(desk: Desk, message: Message, value: Buffer, signal: AbortSignal): Promise<Taken> {
  const { clock, tracing } = desk.parts;
  const startedAt = clock.now();
  const came = headerText(message.headers, "traceparent");
  const spanOf = (metadata: JsonObject, ids: SpanAttributes) =>
    tracing.begin("intake", {
      ...{ kind: "consumer", parent: (traceOf(metadata) ?? traceContext(came))?.traceparent ?? null, startedAt },
      attributes: { ...placeOf(message), ...ids },
    });
  let task: Task;
  try {
    task = desk.parseTask(value);
  } catch (error) {
    using span = spanOf({}, {});
    return await notTaken(desk, message, value, error, span, signal);
  }
  using span = spanOf(task.metadata, {
    "tool_executor.tenant_id": task.tenant_id,
    "tool_executor.task_id": task.task_id,
  });
  // Of a call that came without a trace this is where one begins.
  const traced = withTrace(withTrace(task, came), span.traceparent);
  try {
    return await takeTask(desk, message, traced, signal);
  } catch (error) {
    return await notTaken(desk, message, value, error, span, signal);
  }
}

async function takeTask(desk: Desk, message: Message, task: Task, signal: AbortSignal): Promise<Taken> {
  const { parts, strikes, atOnce } = desk;
  const intake = await strikes.tried(sourceText(message.source), () => takeIn(parts, task, signal, atOnce), signal);
  if (intake.kind === "accepted") {
    desk.onAccepted(taskKey(task), hasBegun(intake));
    return "accepted";
  }
  // What waits to be sent is sent by the relay; one that is not finished yet has its answer to come.
  await parts.store.republish(taskKey(task), signal);
  return "duplicate";
}

/** Answers a request that cannot be taken; rejects with what may be mended. */
async function notTaken(
  desk: Desk,
  message: Message,
  value: Buffer,
  error: unknown,
  span: Span,
  signal: AbortSignal,
): Promise<Taken> {
  span.failed(reasonOf(error));
  signal.throwIfAborted();
  const refusal = asRefusal(error);
  if (refusal === null && !desk.strikes.isFinal(error)) throw error;
  return await refuse(desk, message, value, refusal ?? (error as ExecutorError), signal);
}

const placeOf = ({ source }: Message): SpanAttributes => ({
  "messaging.destination.name": source.topic,
  "messaging.destination.partition.id": String(source.partition),
  "messaging.kafka.offset": source.firstOffset,
});

async function takeControl(desk: Desk, message: Message, value: Buffer, signal: AbortSignal): Promise<Taken> {
  const { store, clock, liveness } = desk.parts;
  let key: TaskKey;
  try {
    key = parseControl(value).key;
  } catch (error) {
    await desk.letters.send(message, asRefusal(error)?.code ?? "internal", 1, null, signal);
    return "dead_letter";
  }
  // Ours stays open.
  const living = async () => ({ ...liveness, async [Symbol.asyncDispose]() {} });
  await cancelTask(store, clock, living, key, signal);
  return "cancel";
}

/** Null for what is not the request's fault and may be mended: the message comes again. */
function asRefusal(error: unknown): ExecutorError | null {
  // Looking at a request needs nothing but the request: what we did not foresee there goes wrong each time.
  if (!(error instanceof ExecutorError))
    return new ExecutorError("internal", "the request could not be read", { cause: error });
  switch (error.code) {
    case "validation":
    case "unknown_tool":
    case "policy_denied":
    case "conflict":
      return error;
    default:
      return null;
  }
}

/** Whoever can be answered is; what names no task, and what is our own fault, goes to the dead letters too. */
async function refuse(
  desk: Desk,
  message: Message,
  value: Buffer,
  error: ExecutorError,
  signal: AbortSignal,
): Promise<Taken> {
  const ids = requestIds(value, requestCaps(desk.maxRequestBytes));
  if (ids === null) return await answerUnknown(desk, message, error, signal);
  // A known task has, or will have, an answer of its own, and this would look like it.
  const isKnown = error.code === "conflict" || (await isThere(desk, ids.key, signal));
  const isDead = isKnown === true || reasonTable[error.code].deadLetter;
  if (isDead) await desk.letters.send(message, isKnown === true ? "conflict" : error.code, 1, ids.key, signal);
  const resultBytes = encodeResult(refusalOf(ids, error, message));
  if (isKnown === false) await publishResult(desk, resultBytes, signal);
  if (isKnown === "not now") {
    const facts = { reason: "conflict", stage: "intake", attempts: 1, firstSeenAt: message.sentAt } as const;
    const headers = { ...deadLetterHeaders(facts), "dlq-source": sourceText(message.source) };
    await desk.parts.store.refuse({ key: ids.key, resultBytes, letter: { headers, value } }, signal);
  }
  return isDead ? "dead_letter" : "refused";
}

/** `not now`: the store is away, and whoever brings the refusal there finds out. */
async function isThere({ parts }: Desk, key: TaskKey, signal: AbortSignal): Promise<boolean | "not now"> {
  try {
    return (await parts.store.get(key, signal)) !== null;
  } catch (error) {
    if (isAway(error)) return "not now";
    throw error;
  }
}

function refusalOf({ key, toolName, metadata }: RequestIds, error: ExecutorError, { headers }: Message): Result {
  const trace = traceOf(metadata) ?? traceContext(headerText(headers, "traceparent"));
  const traced = trace === null ? metadata : { ...metadata, traceparent: trace.traceparent };
  return concludeRefusal({ task_id: key.taskId, tenant_id: key.tenantId, tool_name: toolName }, error, traced);
}

/** What names no task: a dead letter, and a result without an id that says where it stood, so that its sender hears of it. */
async function answerUnknown(
  desk: Desk,
  delivery: Delivery,
  error: ExecutorError,
  signal: AbortSignal,
): Promise<Taken> {
  await desk.letters.send(delivery, error.code, 1, null, signal);
  if (delivery.channel === "tools") {
    const { topic, partition, firstOffset, lastOffset } = delivery.source;
    const metadata = { source: { topic, partition, offset: firstOffset, last_offset: lastOffset } };
    await publishResult(desk, encodeResult(concludeRefusal({}, error, metadata)), signal);
  }
  return "dead_letter";
}

async function publishResult({ transport, parts }: Desk, bytes: Buffer, signal: AbortSignal): Promise<void> {
  await transport.publish([await resultMessage(transport, parts.objects, bytes, signal)], signal);
}

function headerText(headers: Headers, name: string): string | null {
  const [, value] = headers.find(([each]) => each.toLowerCase() === name) ?? [];
  return value === undefined ? null : value.toString("latin1");
}
