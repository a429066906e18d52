import type { FastifyInstance } from "fastify";
import type { RouteContext } from "./route-context.ts";

/** What says how the server is, and what it can do. None of it tells of any task, so all but the tools need no key. */
export function operatorRoutes(app: FastifyInstance, context: RouteContext): void {
  app.get("/healthz", { schema: { summary: "The process answers." } }, async (_request, reply) =>
    reply.type("application/json").send('{"status":"ok"}'),
  );

  app.get(
    "/readyz",
    { schema: { summary: "Whether it takes tasks; 503 names what is missing." } },
    async (request, reply) => {
      const { missing } = await context.readiness();
      // Why is for whoever sits on this machine: messages name paths and addresses.
      const said = context.isOperator(request) ? missing : missing.map(({ name }) => ({ name }));
      const body = { status: missing.length === 0 ? "ready" : "not ready", missing: said };
      return reply
        .status(missing.length === 0 ? 200 : 503)
        .type("application/json")
        .send(JSON.stringify(body));
    },
  );

  app.get("/metrics", { schema: { summary: "For Prometheus." } }, async (_request, reply) =>
    reply.type(context.metrics.contentType).send(await context.metrics.text()),
  );

  app.get("/v1/tools", { schema: { summary: "What can be run." } }, async (request, reply) => {
    context.callerOf(request);
    const { tools, broken } = await context.front.tools(context.closing);
    // A broken tool is the operator's to mend, and says where it is.
    const body = context.isOperator(request) ? { tools, broken } : { tools };
    return reply.type("application/json").send(JSON.stringify(body));
  });

  app.get("/docs", { schema: { hide: true } }, async (_request, reply) =>
    reply.type("application/json").send(JSON.stringify(app.swagger())),
  );
}
