import { Readable } from "node:stream";
import type { FastifyInstance } from "fastify";
import { ExecutorError } from "../../model/failure.ts";
import { type LogPosition, logStart, parsePosition, positionText } from "../../model/log-position.ts";
import type { TaskEvent } from "../../ports/front.ts";
import { keyOf, noSuchTask } from "./caller.ts";
import { taskIdParams, tenantQuery } from "./described.ts";
import { gone } from "./request-signal.ts";
import type { RouteContext } from "./route-context.ts";

interface EventRequest {
  readonly Params: { readonly id: string };
  readonly Querystring: { readonly tenant_id?: string; readonly after?: string };
}

/** What a task does and writes, as a stream. */
export function eventRoutes(app: FastifyInstance, context: RouteContext): void {
  const { front, callerOf } = context;

  app.get<EventRequest>(
    "/v1/tasks/:id/events",
    {
      schema: {
        summary:
          "What the task does, live and from what is stored, as server-sent events or NDJSON (by Accept). Ends with the task.",
        params: taskIdParams,
        querystring: {
          type: "object",
          properties: {
            ...tenantQuery,
            after: { type: "string", description: "the id (or seq) of the last event that was seen" },
          },
        },
      },
    },
    async (request, reply) => {
      const key = keyOf(callerOf(request), request.params.id, request.query.tenant_id);
      const lastEventId = request.headers["last-event-id"];
      const after = positionOf(request.query.after ?? (typeof lastEventId === "string" ? lastEventId : undefined));
      const signal = gone(reply, context.closing);
      if ((await front.get(key, 0, signal)) === null) throw noSuchTask();
      const events = front.events(key, after, true, signal);
      const isSse = (request.headers.accept ?? "").includes("text/event-stream");
      reply.type(isSse ? "text/event-stream" : "application/x-ndjson");
      return reply.send(bytes(isSse ? serverSent(events) : ndjson(events)));
    },
  );

  app.get<EventRequest>(
    "/v1/tasks/:id/logs",
    {
      schema: {
        summary: "What the task has written so far, as the lines of the log object (NDJSON).",
        params: taskIdParams,
        querystring: { type: "object", properties: tenantQuery },
      },
    },
    async (request, reply) => {
      const key = keyOf(callerOf(request), request.params.id, request.query.tenant_id);
      const signal = gone(reply, context.closing);
      if ((await front.get(key, 0, signal)) === null) throw noSuchTask();
      return reply.type("application/x-ndjson").send(bytes(logLines(front.events(key, logStart, false, signal))));
    },
  );
}

const bytes = (texts: AsyncIterable<string>): Readable => Readable.from(texts, { objectMode: false });

function positionOf(text: string | undefined): LogPosition {
  if (text === undefined || text === "" || text === "0") return logStart;
  const position = parsePosition(text);
  if (position !== null) return position;
  const message = "after must be the id of an event (ATTEMPT.SEQ) or its seq";
  throw new ExecutorError("validation", message, { details: [{ path: "?after", message }] });
}

/** One event as a JSON object. A line keeps its members, as they stand in the log object. */
function eventJson(event: TaskEvent): { readonly name: string; readonly id: string | null; readonly json: string } {
  switch (event.kind) {
    case "line": {
      const name = event.isGap ? "gap" : "output";
      const id = positionText(event.position);
      const head = JSON.stringify({ event: name, id, attempt: event.position.attempt });
      return { name, id, json: `${head.slice(0, -1)},${event.line.slice(1)}` };
    }
    case "state": {
      const { state, attempt } = event;
      return { name: "state", id: null, json: JSON.stringify({ event: "state", attempt, state }) };
    }
    case "progress": {
      const { progress, message } = event;
      return { name: "progress", id: null, json: JSON.stringify({ event: "progress", progress, message }) };
    }
  }
}

async function* ndjson(events: AsyncIterable<TaskEvent>): AsyncGenerator<string> {
  for await (const event of events) yield `${eventJson(event).json}\n`;
}

async function* logLines(events: AsyncIterable<TaskEvent>): AsyncGenerator<string> {
  for await (const event of events) if (event.kind === "line") yield `${event.line}\n`;
}

/** So that whoever is between us and the reader does not take a silent task for a dead connection. */
const heartbeatMs = 15_000;

async function* serverSent(events: AsyncIterable<TaskEvent>): AsyncGenerator<string> {
  const iterator = events[Symbol.asyncIterator]();
  try {
    for (let next = iterator.next(); ; ) {
      const { promise, resolve } = Promise.withResolvers<"silence">();
      const timer = setTimeout(() => resolve("silence"), heartbeatMs);
      const step = await Promise.race([next, promise]).finally(() => clearTimeout(timer));
      if (step === "silence") {
        yield ": still here\n\n";
        continue;
      }
      if (step.done === true) return;
      const { name, id, json } = eventJson(step.value);
      yield `event: ${name}\n${id === null ? "" : `id: ${id}\n`}data: ${json}\n\n`;
      next = iterator.next();
    }
  } finally {
    await iterator.return?.();
  }
}
