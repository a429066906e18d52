import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ExecutorError } from "../../model/failure.ts";
import type { Manifest, ManifestEntry } from "../../model/manifest.ts";
import type { TaskKey } from "../../model/task.ts";
import type { ByteRange } from "../../ports/front.ts";
import { keyOf, noSuchTask } from "./caller.ts";
import { taskIdParams, tenantQuery } from "./described.ts";
import { HttpProblem } from "./problem.ts";
import { gone } from "./request-signal.ts";
import type { RouteContext } from "./route-context.ts";

interface ArtifactRequest {
  readonly Params: { readonly id: string; readonly "*"?: string };
  readonly Querystring: { readonly tenant_id?: string };
}

/** The files that a task left. */
export function artifactRoutes(app: FastifyInstance, context: RouteContext): void {
  const { front } = context;

  const keptBy = async (
    request: FastifyRequest<ArtifactRequest>,
    signal: AbortSignal,
  ): Promise<{ readonly key: TaskKey; readonly manifest: Manifest }> => {
    const key = keyOf(context.callerOf(request), request.params.id, request.query.tenant_id);
    const found = await front.get(key, 0, signal);
    if (found === null) throw noSuchTask();
    if (found.resultBytes === null)
      throw new HttpProblem("not_found", `the task is ${found.summary.state}: its files are there once it is FINISHED`);
    return { key, manifest: (await front.manifest(key, signal)) ?? { entries: [], folders: [] } };
  };

  app.get<ArtifactRequest>(
    "/v1/tasks/:id/artifacts",
    {
      schema: {
        summary: "Which files and folders the task left under /output.",
        params: taskIdParams,
        querystring: { type: "object", properties: tenantQuery },
      },
    },
    async (request, reply) => {
      const { manifest } = await keptBy(request, gone(reply, context.closing));
      const artifacts = manifest.entries.map(({ offset: _offset, ...entry }) => entry);
      return reply.type("application/json").send(JSON.stringify({ artifacts, folders: manifest.folders }));
    },
  );

  app.get<ArtifactRequest>(
    "/v1/tasks/:id/artifacts/*",
    {
      schema: {
        summary: "One file, or a range of its bytes.",
        params: taskIdParams,
        querystring: { type: "object", properties: tenantQuery },
      },
    },
    async (request, reply) => {
      const signal = gone(reply, context.closing);
      const { key, manifest } = await keptBy(request, signal);
      // A name of the manifest, nothing else: it never becomes a path.
      const entry = manifest.entries.find(({ path }) => path === request.params["*"]);
      if (entry === undefined) throw new HttpProblem("not_found", "the task left no file of this name");
      const range = rangeOf(request.headers.range, entry.size_bytes);
      fileHeaders(reply, entry);
      if (range !== null)
        reply.status(206).header("content-range", `bytes ${range.start}-${range.end - 1}/${entry.size_bytes}`);
      const whole = range ?? { start: 0, end: entry.size_bytes };
      reply.header("content-length", whole.end - whole.start);
      const bytes = await front.artifact(key, entry, whole, signal);
      return reply.send(Readable.from(copied(range === null ? checked(bytes, entry) : bytes), { objectMode: false }));
    },
  );
}

/** A file of somebody's who is not trusted: to be saved, never to be shown as a page of ours. */
function fileHeaders(reply: FastifyReply, { path, sha256, mime }: ManifestEntry): void {
  const name = encodeURIComponent(path.split("/").at(-1) ?? "").replaceAll(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  reply
    .header("content-type", mime)
    .header("content-disposition", `attachment; filename*=UTF-8''${name}`)
    .header("etag", `"${sha256}"`)
    .header("accept-ranges", "bytes");
}

/** One range as in RFC 9110; null for none, for several, and for what is none. @throws HttpProblem range_not_satisfiable */
export function rangeOf(header: string | undefined, sizeBytes: number): ByteRange | null {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "");
  if (match === null || (match[1] === "" && match[2] === "")) return null;
  const [first, last] = [match[1] ?? "", match[2] ?? ""];
  const start = first === "" ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const end = first === "" || last === "" ? sizeBytes : Math.min(sizeBytes, Number(last) + 1);
  if (first !== "" && last !== "" && Number(last) < Number(first)) return null;
  if (start >= end)
    throw new HttpProblem("range_not_satisfiable", `the file has ${sizeBytes} bytes`, {
      headers: { "content-range": `bytes */${sizeBytes}` },
    });
  return { start, end };
}

/** Fails, so that the connection is cut off, where the store gave other bytes back than were put. */
async function* checked(bytes: AsyncIterable<Uint8Array>, { path, sha256 }: ManifestEntry): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let held: Buffer | null = null;
  for await (const chunk of bytes) {
    if (held !== null) yield held;
    hash.update(chunk);
    held = Buffer.from(chunk);
  }
  if (hash.digest("hex") !== sha256)
    throw new ExecutorError("internal", `artifact ${JSON.stringify(path)} is damaged in the object store`);
  if (held !== null) yield held;
}

/** A stream reads ahead, and a chunk is good until the next is asked for. */
async function* copied(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) yield Buffer.from(chunk);
}
