import type { FastifyInstance, FastifyReply } from "fastify";
import { ExecutorError, isAway, reasonTable } from "../../model/failure.ts";
import type { TaskKey, TaskState } from "../../model/task.ts";
import type { FoundTask } from "../../ports/front.ts";
import { taskSummarySchema } from "../../schema/task-summary-schema.ts";
import { keyOf, noSuchTask, tenantOf } from "./caller.ts";
import { intakeHeader, problemSchema, taskIdParams, tenantQuery } from "./described.ts";
import { HttpProblem } from "./problem.ts";
import { gone } from "./request-signal.ts";
import type { RouteContext } from "./route-context.ts";

interface TaskParams {
  readonly id: string;
}

interface TaskQuery {
  readonly tenant_id?: string;
  readonly wait?: string;
}

interface ListQuery {
  readonly tenant_id?: string;
  readonly state?: string;
  readonly limit?: string;
  readonly cursor?: string;
}

/** Tasks: take in, tell, list, cancel. */
export function taskRoutes(app: FastifyInstance, context: RouteContext): void {
  const { front, callerOf } = context;

  app.post<{ Querystring: TaskQuery; Body: Buffer }>(
    "/v1/tasks",
    {
      schema: {
        summary: "Run a tool call. The same request again gets the first task's answer.",
        querystring: { type: "object", properties: { wait } },
        headers: { type: "object", properties: { "idempotency-key": { type: "string", description: "the task_id" } } },
        body: context.schemas.task,
        response: {
          200: context.schemas.result,
          202: taskSummarySchema,
          ...Object.fromEntries([403, 409, 422, 429, 503].map((status) => [status, problemSchema])),
        },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request);
      if (!context.takesTasks())
        throw new HttpProblem("shutting_down", "the server is about to end and takes no tasks", {
          hint: "send the same request again in a moment",
        });
      const waitMs = waitOf(request.query.wait);
      const idempotencyKey = request.headers["idempotency-key"];
      const asked = {
        ...(caller.kind === "tenant" && { tenant_id: caller.tenantId }),
        ...(typeof idempotencyKey === "string" && { task_id: idempotencyKey }),
      };
      if (!Buffer.isBuffer(request.body))
        throw new ExecutorError("validation", "the body is empty; allowed: a JSON object");
      // Whoever goes away meanwhile may ask for it again: it is taken in as a whole or not at all.
      const { traceparent } = request.headers;
      const trace = typeof traceparent === "string" ? traceparent : null;
      const { key, isNew, received } = await front.submit(request.body, asked, trace, uninterrupted);
      reply.header(intakeHeader, isNew ? "accepted" : "duplicate");
      const signal = gone(reply, context.closing);
      const found = await front.get(key, waitMs, signal, isNew).catch((error: unknown): FoundTask => {
        // It is kept all the same: whoever is told otherwise sends it again.
        if (!isAway(error) || received === undefined) throw error;
        return { summary: received, resultBytes: null };
      });
      if (found === null) throw noSuchTask();
      if (found.resultBytes !== null) return sendResult(reply, found.resultBytes, reasonTable[found.reason].httpStatus);
      return reply
        .status(202)
        .header("location", `/v1/tasks/${key.taskId}`)
        .type("application/json")
        .send(JSON.stringify(found.summary));
    },
  );

  app.get<{ Params: TaskParams; Querystring: TaskQuery }>(
    "/v1/tasks/:id",
    {
      schema: {
        summary: "The stored result, byte for byte; until there is one, the task's state.",
        params: taskIdParams,
        querystring: { type: "object", properties: { ...tenantQuery, wait } },
        response: {
          200: { oneOf: [context.schemas.result, taskSummarySchema] },
          404: problemSchema,
          503: problemSchema,
        },
      },
    },
    async (request, reply) => {
      const key = keyOf(callerOf(request), request.params.id, request.query.tenant_id);
      const found = await front.get(key, waitOf(request.query.wait), gone(reply, context.closing));
      if (found === null) throw noSuchTask();
      if (found.resultBytes !== null) return sendResult(reply, found.resultBytes, 200);
      return reply
        .header(stateHeader, found.summary.state)
        .type("application/json")
        .send(JSON.stringify(found.summary));
    },
  );

  app.get<{ Querystring: ListQuery }>(
    "/v1/tasks",
    {
      schema: {
        summary: "The tasks of the tenant, newest first.",
        querystring: {
          type: "object",
          properties: {
            ...tenantQuery,
            state: { type: "string", description: "states with commas between, or unfinished" },
            limit: { type: "integer", minimum: 1, maximum: 1000, default: 50 },
            cursor: { type: "string", description: "next_cursor of the page before" },
          },
        },
        response: {
          200: {
            type: "object",
            required: ["tasks", "next_cursor"],
            properties: {
              tasks: { type: "array", items: taskSummarySchema },
              next_cursor: { type: ["string", "null"] },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { query } = request;
      const tenantId = tenantOf(callerOf(request), query.tenant_id);
      const filter = {
        tenantId,
        states: query.state === undefined ? null : statesOf(query.state),
        limit: limitOf(query.limit),
        olderThan: query.cursor === undefined ? null : { tenantId, taskId: taskOfCursor(query.cursor) },
      };
      const { tasks, next } = await front.list(filter, gone(reply, context.closing));
      const body = { tasks, next_cursor: next === null ? null : cursorOf(next) };
      return reply.type("application/json").send(JSON.stringify(body));
    },
  );

  app.delete<{ Params: TaskParams; Querystring: TaskQuery }>(
    "/v1/tasks/:id",
    {
      schema: {
        summary: "Cancel: idempotent, in every state, also before the task has come.",
        params: taskIdParams,
        querystring: { type: "object", properties: tenantQuery },
        response: {
          200: { type: "object", properties: cancelAnswer },
          202: { type: "object", properties: cancelAnswer },
        },
      },
    },
    async (request, reply) => {
      const key = keyOf(callerOf(request), request.params.id, request.query.tenant_id);
      const answer = await front.cancel(key, uninterrupted);
      const reason = answer.kind === "over" ? answer.reason : null;
      const isOver = answer.kind === "over" || answer.kind === "ended";
      const body = { tenant_id: key.tenantId, task_id: key.taskId, cancel: answer.kind, reason };
      return reply
        .status(isOver ? 200 : 202)
        .type("application/json")
        .send(JSON.stringify(body));
    },
  );
}

const uninterrupted: AbortSignal = new AbortController().signal;

/** Tells a result from a task that has none yet, without looking into the body. */
const stateHeader = "tool-executor-state";

const cancelAnswer = {
  tenant_id: { type: "string" },
  task_id: { type: "string" },
  cancel: { enum: ["unknown", "over", "ended", "asked"] },
  reason: { type: ["string", "null"] },
};

function sendResult(reply: FastifyReply, resultBytes: Buffer, status: number): FastifyReply {
  return reply.status(status).header(stateHeader, "FINISHED").type("application/json").send(resultBytes);
}

const wait = { type: "string", description: "how long to wait for the result, such as 30s; at most 300s" };

function waitOf(text: string | undefined): number {
  if (text === undefined) return 0;
  const match = /^(\d{1,6})(ms|s)$/.exec(text);
  const ms = match === null ? Number.NaN : Number(match[1]) * (match[2] === "s" ? 1000 : 1);
  if (!(ms <= 300_000)) throw wrong("wait", "a time such as 30s or 500ms, at most 300s");
  return ms;
}

function limitOf(text: string | undefined): number {
  const limit = text === undefined ? 50 : /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > 1000) throw wrong("limit", "a whole number, 1 to 1000");
  return limit;
}

const allStates: readonly TaskState[] = [
  "RECEIVED",
  "QUEUED",
  "LEASED",
  "STARTING",
  "RUNNING",
  "COLLECTING",
  "FINISHED",
];

function statesOf(text: string): readonly TaskState[] {
  if (text === "unfinished") return allStates.filter((state) => state !== "FINISHED");
  return text.split(",").map((name) => {
    const state = allStates.find((known) => known === name.toUpperCase());
    if (state === undefined) throw wrong("state", `unfinished, or some of ${allStates.join(", ")} with commas between`);
    return state;
  });
}

const cursorOf = ({ taskId }: TaskKey): string => Buffer.from(taskId).toString("base64url");

function taskOfCursor(cursor: string): string {
  const taskId = /^[A-Za-z0-9_-]{1,100}$/.test(cursor) ? Buffer.from(cursor, "base64url").toString() : "";
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(taskId)) throw wrong("cursor", "the next_cursor of an answer");
  return taskId;
}

function wrong(name: string, allowed: string): ExecutorError {
  const message = `${name} must be ${allowed}`;
  return new ExecutorError("validation", message, { details: [{ path: `?${name}`, message }] });
}
