import swagger from "@fastify/swagger";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { isAway } from "../../model/failure.ts";
import { artifactRoutes } from "./artifact-routes.ts";
import { deadLetterRoutes } from "./dead-letter-routes.ts";
import { eventRoutes } from "./event-routes.ts";
import { fileRoutes } from "./file-routes.ts";
import { lingerAtEnd } from "./node-server.ts";
import { operatorRoutes } from "./operator-routes.ts";
import { HttpProblem, problemOf, problemType } from "./problem.ts";
import type { RouteContext } from "./route-context.ts";
import { taskRoutes } from "./task-routes.ts";

/** The routes, with what holds for each of them; listens nowhere. */
export async function httpApi(context: RouteContext): Promise<FastifyInstance> {
  const app: FastifyInstance = fastify({
    logger: false,
    bodyLimit: context.maxBodyBytes,
    frameworkErrors: (error, _request, untyped) => {
      const problem = problemOf(error, false);
      const reply: FastifyReply = untyped;
      reply.headers(plainHeaders).status(problem.status).type(problemType).send(JSON.stringify(problem));
    },
    exposeHeadRoutes: false,
    routerOptions: { caseSensitive: true, ignoreDuplicateSlashes: false, ignoreTrailingSlash: false },
  });
  // Checked behind the front, with better words; here the schemas are for the description.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  const startedAt = new WeakMap<FastifyRequest, number>();
  app.addHook("onRequest", async (request, reply) => {
    startedAt.set(request, performance.now());
    reply.headers(plainHeaders);
    context.guard(request);
  });
  app.addHook("onSend", async ({ raw }, reply) => {
    if (raw.complete) return;
    // What is left of the body is dropped, and must not be taken for the next request.
    reply.header("connection", "close");
    lingerAtEnd(raw.socket);
  });
  app.addHook("onResponse", async (request, reply) => {
    const seconds = (performance.now() - (startedAt.get(request) ?? performance.now())) / 1000;
    // The route's pattern: a path would be a label without bound.
    const route = request.routeOptions.url ?? "none";
    context.metrics.requestAnswered(request.method, route, reply.statusCode, seconds);
  });
  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(error, context.isOperator(request));
    // That a neighbour is away is told once, by whoever asks it all the time.
    if (problem.status >= 500 && !(error instanceof HttpProblem) && !isAway(error)) context.onFailure(error);
    if (error instanceof HttpProblem) reply.headers(error.headers);
    if (problem.status === 429 || problem.status === 503) reply.header("retry-after", "1");
    return reply.status(problem.status).type(problemType).send(JSON.stringify(problem));
  });
  app.setNotFoundHandler(() => {
    throw new HttpProblem("not_found", "there is nothing at this path and method", {
      hint: "GET /docs lists what there is",
    });
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => done(null, body));

  await app.register(swagger, { openapi: description(context) });
  taskRoutes(app, context);
  eventRoutes(app, context);
  artifactRoutes(app, context);
  deadLetterRoutes(app, context);
  operatorRoutes(app, context);
  await app.register(async (inner) => fileRoutes(inner, context));
  return app;
}

/** Answers are data, whatever a task made them look like. */
const plainHeaders = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

const description = ({ version }: RouteContext) => ({
  openapi: "3.1.0",
  info: {
    title: "Tool Executor",
    version,
    description: "Runs every tool call in a fresh, hardened, single-use container.",
  },
  components: { securitySchemes: { key: { type: "http" as const, scheme: "bearer" } } },
  security: [{ key: [] }],
});
