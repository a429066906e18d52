import type { IncomingMessage } from "node:http";
import { ExecutorError } from "../../../model/failure.ts";
import type { Letter, LetterSummary } from "../../../model/letter-summary.ts";
import { type LogPosition, logStart, parsePosition, positionText } from "../../../model/log-position.ts";
import type { ManifestEntry, ManifestName } from "../../../model/manifest.ts";
import type { JsonObject, TaskKey } from "../../../model/task.ts";
import type { TaskSummary } from "../../../model/task-summary.ts";
import type { CancelAnswer, LetterReplay, ServerFront, TaskEvent, ToolReport } from "../../../ports/front.ts";
import { defaultMaxRequestBytes } from "../../../schema/request-caps.ts";
import { bodyOf, type Call, httpCall, objectOf, type ServerPlace, strange } from "./http-call.ts";

const tooLong = (bytes: number): ExecutorError =>
  new ExecutorError("validation", `request is ${bytes} bytes long, at most ${defaultMaxRequestBytes}`);

/** The tenant of whoever names none; an API key brings its own. */
const defaultTenant = "default";

/** A server, as if it were here. Every call is a request of its own; nothing is kept open between them. */
export function httpFront(place: ServerPlace): ServerFront {
  const call = (what: Call, signal: AbortSignal): Promise<IncomingMessage> => httpCall(place, what, signal);
  const json = async <T extends object>(what: Call, signal: AbortSignal): Promise<T> =>
    objectOf((await bodyOf(await call(what, signal))).toString("utf8"));
  return {
    async submit(request, _asked, _traceparent, signal) {
      const text = request instanceof Uint8Array ? Buffer.from(request) : Buffer.from(JSON.stringify(unnamed(request)));
      // Not left to the server: it closes the connection in the middle, and its answer may be lost with it.
      if (text.byteLength > defaultMaxRequestBytes) throw tooLong(text.byteLength);
      const answer = await call(
        {
          method: "POST",
          path: "/v1/tasks",
          headers: { "content-type": "application/json" },
          body: text,
          // A task that was known may have ended as anything.
          also: "any",
        },
        signal,
      );
      const body: TaskSummary = objectOf((await bodyOf(answer)).toString("utf8"));
      const key = { tenantId: body.tenant_id, taskId: body.task_id };
      return { key, isNew: answer.headers[intakeHeader] === "accepted" };
    },
    async get(key, waitMs, signal) {
      const wait = waitMs === 0 ? undefined : `${Math.min(Math.ceil(waitMs), 300_000)}ms`;
      const what: Call = { method: "GET", path: pathOf(key), query: { ...tenantQuery(key), wait }, also: 404 };
      const answer = await call(what, signal);
      const bytes = await bodyOf(answer);
      if (answer.statusCode === 404) return null;
      const body: TaskSummary = objectOf(bytes.toString("utf8"));
      return answer.headers["tool-executor-state"] === "FINISHED"
        ? { reason: body.reason ?? "internal", resultBytes: bytes }
        : { summary: body, resultBytes: null };
    },
    async list({ tenantId, states, olderThan, limit }, signal) {
      const query = {
        ...tenantQuery({ tenantId }),
        limit: String(limit),
        state: states?.join(","),
        cursor: olderThan === null ? undefined : Buffer.from(olderThan.taskId).toString("base64url"),
      };
      const page = await json<{ readonly tasks: readonly TaskSummary[]; readonly next_cursor: string | null }>(
        { method: "GET", path: "/v1/tasks", query },
        signal,
      );
      const last = page.tasks.at(-1);
      const next = page.next_cursor === null || last === undefined ? null : { tenantId, taskId: last.task_id };
      return { tasks: page.tasks, next };
    },
    async cancel(key, signal) {
      const what: Call = { method: "DELETE", path: pathOf(key), query: tenantQuery(key) };
      const { cancel, reason } = await json<{
        readonly cancel: CancelAnswer["kind"];
        readonly reason: TaskSummary["reason"];
      }>(what, signal);
      return cancel === "over" ? { kind: "over", reason } : { kind: cancel };
    },
    async *events(key, after, follow, signal) {
      const query = { ...tenantQuery(key), ...(follow && after !== logStart && { after: positionText(after) }) };
      const answer = await call({ method: "GET", path: `${pathOf(key)}/${follow ? "events" : "logs"}`, query }, signal);
      for await (const line of linesOf(answer, place)) yield follow ? eventOf(line) : lineOf(line);
    },
    async manifest(key, signal) {
      const what: Call = { method: "GET", path: `${pathOf(key)}/artifacts`, query: tenantQuery(key) };
      const { artifacts, folders } = await json<{
        readonly artifacts: readonly Omit<ManifestEntry, "offset">[];
        readonly folders: readonly ManifestName[];
      }>(what, signal);
      return { entries: artifacts.map((entry) => ({ ...entry, offset: 0 })), folders };
    },
    async artifact(key, { path, size_bytes }, { start, end }, signal) {
      const name = path.split("/").map(encodeURIComponent).join("/");
      const isWhole = start === 0 && end === size_bytes;
      return await call(
        {
          method: "GET",
          path: `${pathOf(key)}/artifacts/${name}`,
          query: tenantQuery(key),
          headers: isWhole ? {} : { range: `bytes=${start}-${end - 1}` },
        },
        signal,
      );
    },
    async letters({ tenantId, reason, olderThan, limit }, signal) {
      const query = {
        ...(tenantId !== null && { tenant_id: tenantId }),
        ...(reason !== null && { reason }),
        ...(olderThan !== null && { cursor: String(olderThan) }),
        limit: String(limit),
      };
      const page = await json<{ readonly dead_letters: readonly LetterSummary[]; readonly next_cursor: string | null }>(
        { method: "GET", path: "/v1/dead_letters", query },
        signal,
      );
      return { letters: page.dead_letters, next: page.next_cursor === null ? null : Number(page.next_cursor) };
    },
    async letter(id, tenantId, signal) {
      const query = tenantId === null ? {} : { tenant_id: tenantId };
      const answer = await call({ method: "GET", path: `/v1/dead_letters/${id}`, query, also: 404 }, signal);
      const bytes = await bodyOf(answer);
      return answer.statusCode === 404 ? null : objectOf<Letter>(bytes.toString("utf8"));
    },
    async replay(key, taskId, signal) {
      const headers = { "idempotency-key": taskId };
      const what: Call = { method: "POST", path: `${pathOf(key)}/replay`, query: tenantQuery(key), headers };
      const answer = await call(what, signal);
      await bodyOf(answer);
      return { key: { ...key, taskId }, isNew: answer.headers[intakeHeader] === "accepted" };
    },
    async replayLetter(id, tenantId, signal) {
      const query = tenantId === null ? {} : { tenant_id: tenantId };
      const answer = await call({ method: "POST", path: `/v1/dead_letters/${id}/replay`, query, also: 404 }, signal);
      const bytes = await bodyOf(answer);
      if (answer.statusCode === 404) return null;
      const body: Pick<TaskSummary, "tenant_id" | "task_id"> & { readonly replayed: LetterReplay["kind"] } = objectOf(
        bytes.toString("utf8"),
      );
      const key = { tenantId: body.tenant_id, taskId: body.task_id };
      return body.replayed === "callback"
        ? { kind: "callback", key }
        : { kind: "task", key, isNew: answer.headers[intakeHeader] === "accepted" };
    },
    async hasFile(tenantId, sha256, signal) {
      const what: Call = { method: "HEAD", path: `/v1/files/${sha256}`, query: tenantQuery({ tenantId }), also: 404 };
      const answer = await call(what, signal);
      await bodyOf(answer);
      return answer.statusCode !== 404;
    },
    async putFile(tenantId, sha256, body, signal) {
      const headers = { "content-type": "application/octet-stream" };
      const query = tenantQuery({ tenantId });
      await bodyOf(await call({ method: "PUT", path: `/v1/files/${sha256}`, query, headers, body }, signal));
    },
    async tools(signal) {
      const { tools, broken = [] } = await json<Partial<ToolReport>>({ method: "GET", path: "/v1/tools" }, signal);
      return { tools: tools ?? [], broken };
    },
    async [Symbol.asyncDispose]() {},
  };
}

const intakeHeader = "tool-executor-intake";

const pathOf = ({ taskId }: Pick<TaskKey, "taskId">): string => `/v1/tasks/${taskId}`;

const tenantQuery = ({ tenantId }: Pick<TaskKey, "tenantId">): Readonly<Record<string, string>> =>
  tenantId === defaultTenant ? {} : { tenant_id: tenantId };

/** Without the name that means nobody in particular. */
function unnamed(request: object): object {
  if (!("tenant_id" in request) || request.tenant_id !== defaultTenant) return request;
  const { tenant_id: _tenant, ...rest } = request;
  return rest;
}

/** Whole lines. @throws ExecutorError internal, where the server went away in the middle. */
async function* linesOf(answer: IncomingMessage, place: ServerPlace): AsyncGenerator<string> {
  let rest = "";
  answer.setEncoding("utf8");
  try {
    for await (const chunk of answer) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > maxLineLength) throw strange("has a line without an end");
      yield* lines;
    }
  } catch (cause) {
    if (cause instanceof ExecutorError) throw cause;
    const where = place.kind === "socket" ? place.socketPath : place.url;
    throw new ExecutorError("internal", `the server at ${where} went away`, { cause });
  }
}

/** Longer than any line that is stored: those are cut at 64 KiB, before JSON and escapes. */
const maxLineLength = 1024 * 1024;

function eventOf(text: string): TaskEvent {
  // biome-ignore lint/suspicious/noExplicitAny: whatever an event of ours holds.
  const { event, id, attempt, state, ...rest } = objectOf<any>(text);
  switch (event) {
    case "state":
      return { kind: "state", state, attempt };
    case "progress":
      return { kind: "progress", progress: rest.progress, message: rest.message };
    default:
      return {
        kind: "line",
        position: parsePosition(id) ?? logStart,
        isGap: event === "gap",
        line: JSON.stringify(rest),
      };
  }
}

function lineOf(text: string): TaskEvent {
  const line: JsonObject = objectOf(text);
  const position: LogPosition = { ...logStart, seq: typeof line.seq === "number" ? line.seq : 0 };
  return { kind: "line", position, isGap: line.gap !== undefined, line: text };
}
