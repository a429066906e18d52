import type { FastifyInstance } from "fastify";
import { ExecutorError } from "../../model/failure.ts";
import { letterSchema, letterSummarySchema } from "../../schema/dead-letter-schema.ts";
import { type Caller, keyOf, noSuchTask, tenantOf } from "./caller.ts";
import { intakeHeader, problemSchema, taskIdParams, tenantQuery } from "./described.ts";
import { HttpProblem } from "./problem.ts";
import { gone } from "./request-signal.ts";
import type { RouteContext } from "./route-context.ts";

interface LetterParams {
  readonly id: string;
}

interface LetterQuerystring {
  readonly tenant_id?: string;
  readonly reason?: string;
  readonly limit?: string;
  readonly cursor?: string;
}

/** What came to nothing, and how it is tried once more. */
export function deadLetterRoutes(app: FastifyInstance, context: RouteContext): void {
  const { front, callerOf } = context;
  const params = { type: "object", required: ["id"], properties: { id: { type: "integer" } } };

  app.get<{ Querystring: LetterQuerystring }>(
    "/v1/dead_letters",
    {
      schema: {
        summary: "The dead letters of the tenant, newest first.",
        querystring: {
          type: "object",
          properties: {
            ...tenantQuery,
            reason: { type: "string" },
            limit: { type: "integer", minimum: 1, maximum: 1000, default: 50 },
            cursor: { type: "string", description: "next_cursor of the page before" },
          },
        },
        response: {
          200: {
            type: "object",
            required: ["dead_letters", "next_cursor"],
            properties: {
              dead_letters: { type: "array", items: letterSummarySchema },
              next_cursor: { type: ["string", "null"] },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { tenant_id, reason, limit, cursor } = request.query;
      const query = {
        tenantId: scopeOf(callerOf(request), tenant_id),
        reason: reason ?? null,
        limit: numberOf("limit", limit ?? "50", 1000),
        olderThan: cursor === undefined ? null : numberOf("cursor", cursor, Number.MAX_SAFE_INTEGER),
      };
      const { letters, next } = await front.letters(query, gone(reply, context.closing));
      const body = { dead_letters: letters, next_cursor: next === null ? null : String(next) };
      return reply.type("application/json").send(JSON.stringify(body));
    },
  );

  app.get<{ Params: LetterParams; Querystring: LetterQuerystring }>(
    "/v1/dead_letters/:id",
    {
      schema: {
        summary: "One dead letter, with its bytes.",
        params,
        querystring: { type: "object", properties: tenantQuery },
        response: { 200: letterSchema, 404: problemSchema },
      },
    },
    async (request, reply) => {
      const tenantId = scopeOf(callerOf(request), request.query.tenant_id);
      const letter = await front.letter(letterIdOf(request.params.id), tenantId, gone(reply, context.closing));
      if (letter === null) throw noSuchLetter();
      return reply.type("application/json").send(JSON.stringify(letter));
    },
  );

  app.post<{ Params: LetterParams; Querystring: LetterQuerystring }>(
    "/v1/dead_letters/:id/replay",
    {
      schema: {
        summary: "Its request as a new task, always with the same id, or its callback once more.",
        params,
        querystring: { type: "object", properties: tenantQuery },
        response: {
          202: {
            type: "object",
            required: ["replayed", "tenant_id", "task_id"],
            properties: { ...replayedTask, replayed: { enum: ["task", "callback"] } },
          },
          404: problemSchema,
        },
      },
    },
    async (request, reply) => {
      const tenantId = scopeOf(callerOf(request), request.query.tenant_id);
      refuseWhileDraining(context);
      const replayed = await front.replayLetter(letterIdOf(request.params.id), tenantId, uninterrupted);
      if (replayed === null) throw noSuchLetter();
      if (replayed.kind === "task") reply.header(intakeHeader, replayed.isNew ? "accepted" : "duplicate");
      const { kind, key } = replayed;
      const body = { replayed: kind, tenant_id: key.tenantId, task_id: key.taskId };
      return reply.status(202).type("application/json").send(JSON.stringify(body));
    },
  );

  app.post<{ Params: LetterParams; Querystring: LetterQuerystring }>(
    "/v1/tasks/:id/replay",
    {
      schema: {
        summary: "A task that has ended once more, as a new one; metadata.replay_of says whose replay it is.",
        params: taskIdParams,
        querystring: { type: "object", properties: tenantQuery },
        headers: {
          type: "object",
          required: ["idempotency-key"],
          properties: { "idempotency-key": { type: "string", description: "the task_id of the new task" } },
        },
        response: {
          202: { type: "object", required: ["tenant_id", "task_id"], properties: replayedTask },
          404: problemSchema,
        },
      },
    },
    async (request, reply) => {
      const key = keyOf(callerOf(request), request.params.id, request.query.tenant_id);
      refuseWhileDraining(context);
      const taskId = request.headers["idempotency-key"];
      if (typeof taskId !== "string")
        throw new ExecutorError("validation", "Idempotency-Key is missing; it is the task_id of the new task");
      if ((await front.get(key, 0, gone(reply, context.closing))) === null) throw noSuchTask();
      const { isNew } = await front.replay(key, taskId, uninterrupted);
      reply.header(intakeHeader, isNew ? "accepted" : "duplicate").header("location", `/v1/tasks/${taskId}`);
      const body = { tenant_id: key.tenantId, task_id: taskId };
      return reply.status(202).type("application/json").send(JSON.stringify(body));
    },
  );
}

const uninterrupted: AbortSignal = new AbortController().signal;

const replayedTask = { tenant_id: { type: "string" }, task_id: { type: "string" } };

/** Whose letters a caller may see: an operator who names nobody, all of them. */
const scopeOf = (caller: Caller, named: string | undefined): string | null =>
  caller.kind === "operator" && named === undefined ? null : tenantOf(caller, named);

function refuseWhileDraining({ takesTasks }: RouteContext): void {
  if (takesTasks()) return;
  throw new HttpProblem("shutting_down", "the server is about to end and takes no tasks", {
    hint: "send the same request again in a moment",
  });
}

/** The same for a letter of another tenant and for one that nobody has. */
const noSuchLetter = (): HttpProblem => new HttpProblem("not_found", "there is no such dead letter");

function letterIdOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw noSuchLetter();
  return Number(text);
}

function numberOf(name: string, text: string, max: number): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= max) return value;
  const message = `${name} must be a whole number, 1 to ${max}`;
  throw new ExecutorError("validation", message, { details: [{ path: `?${name}`, message }] });
}
