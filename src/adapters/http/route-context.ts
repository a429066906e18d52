import type { FastifyRequest } from "fastify";
import type { JsonObject } from "../../model/task.ts";
import type { Readiness } from "../../observe/health.ts";
import type { Metrics } from "../../observe/metrics.ts";
import type { ServerFront } from "../../ports/front.ts";
import type { Caller } from "./caller.ts";

/** What every route works with. */
export interface RouteContext {
  readonly front: ServerFront;
  readonly metrics: Metrics;
  readonly readiness: () => Promise<Readiness>;
  /** For the description at `/docs`; what is checked is checked behind the front. */
  readonly schemas: { readonly task: JsonObject; readonly result: JsonObject };
  readonly version: string;
  readonly maxBodyBytes: number;
  /** For our own log: what is answered with a 5xx. */
  readonly onFailure: (error: unknown) => void;
  /** @throws HttpProblem, for a request that nobody here should answer. */
  readonly guard: (request: FastifyRequest) => void;
  readonly callerOf: (request: FastifyRequest) => Caller;
  readonly isOperator: (request: FastifyRequest) => boolean;
  readonly takesTasks: () => boolean;
  /** Aborts when the door closes: streams end then. */
  readonly closing: AbortSignal;
}
