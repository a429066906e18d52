import type { FastifyInstance } from "fastify";
import { tenantOf } from "./caller.ts";
import { tenantQuery } from "./described.ts";
import { HttpProblem } from "./problem.ts";
import { gone } from "./request-signal.ts";
import type { RouteContext } from "./route-context.ts";

interface FileRequest {
  readonly Params: { readonly sha256: string };
  readonly Querystring: { readonly tenant_id?: string };
  readonly Body: NodeJS.ReadableStream;
}

const params = {
  type: "object",
  required: ["sha256"],
  properties: { sha256: { type: "string", pattern: "^[0-9a-f]{64}$" } },
};

/** Input files by their hash, each tenant's for itself. The body is a stream here: whatever type it says it has. */
export function fileRoutes(app: FastifyInstance, context: RouteContext): void {
  const { front, callerOf } = context;
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, payload, done) => done(null, payload));

  app.put<FileRequest>(
    "/v1/files/:sha256",
    {
      schema: {
        summary: "Put the bytes that files[].sha256 of a later request names.",
        params,
        querystring: { type: "object", properties: tenantQuery },
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(callerOf(request), request.query.tenant_id);
      const { sha256 } = request.params;
      checkName(sha256);
      const signal = gone(reply, context.closing);
      if (await front.hasFile(tenantId, sha256, signal)) return reply.status(204).send();
      if (!context.takesTasks())
        throw new HttpProblem("shutting_down", "the server is about to end and takes no files");
      await front.putFile(tenantId, sha256, chunks(request.body ?? request.raw), signal);
      return reply.status(201).type("application/json").send(JSON.stringify({ sha256 }));
    },
  );

  app.head<FileRequest>(
    "/v1/files/:sha256",
    { schema: { summary: "Whether the bytes are there.", params } },
    async (request, reply) => {
      const tenantId = tenantOf(callerOf(request), request.query.tenant_id);
      checkName(request.params.sha256);
      const there = await front.hasFile(tenantId, request.params.sha256, gone(reply, context.closing));
      return reply.status(there ? 200 : 404).send();
    },
  );
}

async function* chunks(body: NodeJS.ReadableStream): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) yield typeof chunk === "string" ? Buffer.from(chunk) : chunk;
}

function checkName(sha256: string): void {
  if (!/^[0-9a-f]{64}$/.test(sha256))
    throw new HttpProblem("bad_request", "a file's name is its sha256: 64 lower-case hex digits");
}
