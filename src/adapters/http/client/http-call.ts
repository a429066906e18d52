import { once } from "node:events";
import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ExecutorError, type FailureDetail, type Reason, reasonTable } from "../../../model/failure.ts";
import { type ProblemDetails, problemType } from "../problem.ts";

/** Where a server is, and what opens it. */
export type ServerPlace =
  | { readonly kind: "url"; readonly url: string; readonly apiKey: string }
  | { readonly kind: "socket"; readonly socketPath: string };

export interface Call {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | AsyncIterable<Uint8Array>;
  /** A status beside 2xx that is an answer, or any that comes without a problem. */
  readonly also?: number | "any";
}

/**
 * One request; the answer's body is still to be read, and ends with an error when the connection does.
 * @throws ExecutorError with the reason that the server gives; internal, when it cannot be reached.
 */
export async function httpCall(place: ServerPlace, call: Call, signal: AbortSignal): Promise<IncomingMessage> {
  const named = new URLSearchParams();
  for (const [name, value] of Object.entries(call.query ?? {})) if (value !== undefined) named.set(name, value);
  const query = named.toString();
  const path = query === "" ? call.path : `${call.path}?${query}`;
  const options: RequestOptions = { method: call.method, path, headers: { ...call.headers }, agent: false, signal };
  const request =
    place.kind === "socket"
      ? httpRequest({ ...options, socketPath: place.socketPath })
      : requestTo(place.url, place.apiKey, options);
  let answer: IncomingMessage;
  try {
    const answered = once(request, "response", { signal });
    // A server that refuses does not read on: what counts is then its answer.
    const sent =
      call.body === undefined || Buffer.isBuffer(call.body)
        ? void request.end(call.body)
        : pipeline(Readable.from(call.body), request).catch(() => undefined);
    [answer] = (await answered) as [IncomingMessage];
    if ((answer.statusCode ?? 0) < 300) await sent;
  } catch (cause) {
    signal.throwIfAborted();
    throw unreachable(place, cause);
  }
  const status = answer.statusCode ?? 0;
  const isProblem = (answer.headers["content-type"] ?? "").startsWith(problemType);
  if ((status >= 200 && status < 300) || (!isProblem && call.also === "any") || call.also === status) return answer;
  throw await refusal(place, status, answer);
}

function requestTo(url: string, apiKey: string, options: RequestOptions) {
  const { protocol, hostname, port } = new URL(url);
  const headers = apiKey === "" ? options.headers : { ...options.headers, authorization: `Bearer ${apiKey}` };
  const whole = { ...options, headers, hostname: hostname.replace(/^\[|\]$/g, ""), port };
  return protocol === "https:" ? httpsRequest(whole) : httpRequest(whole);
}

/**
 * The whole body of an answer that is known to be small.
 * @throws ExecutorError internal, when it is longer than any of ours or breaks off; what aborted the call.
 */
export async function bodyOf(answer: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const part of answer) {
      parts.push(part as Buffer);
      sizeBytes += part.length;
      if (sizeBytes > maxAnswerBytes) throw strange(`is longer than ${maxAnswerBytes} bytes`);
    }
  } catch (cause) {
    if (cause instanceof ExecutorError || (cause instanceof Error && cause.name === "AbortError")) throw cause;
    throw strange("broke off in the middle", cause);
  }
  return Buffer.concat(parts);
}

/** A dead letter is the longest there is: a request, in base64. */
const maxAnswerBytes = 64 * 1024 * 1024;

/** The JSON object that an answer is. @throws ExecutorError internal, for anything else. */
export function objectOf<T extends object>(text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not kept as the cause: the parser's own message quotes the text.
    throw strange("is no JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw strange("is no JSON object");
  return value as T;
}

/** An answer that is none of ours: something else may listen there. */
export const strange = (why: string, cause?: unknown): ExecutorError =>
  new ExecutorError("internal", `the server's answer ${why}`, {
    cause,
    hint: "does TOOL_EXECUTOR_URL name a server of this program?",
  });

const placeText = (place: ServerPlace): string => (place.kind === "socket" ? place.socketPath : place.url);

function unreachable(place: ServerPlace, cause: unknown): ExecutorError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
  return new ExecutorError("internal", `the server at ${placeText(place)} cannot be reached (${code})`, {
    cause,
    hint: "is it running, and is TOOL_EXECUTOR_URL right?",
  });
}

async function refusal(place: ServerPlace, status: number, answer: IncomingMessage): Promise<ExecutorError> {
  const text = (await bodyOf(answer)).toString("utf8");
  let problem: { readonly [field in keyof ProblemDetails]?: unknown } = {};
  try {
    problem = objectOf(text);
  } catch {
    // Something between us and the server, perhaps, that speaks otherwise.
  }
  const { code, detail, hint, details } = problem;
  const options = {
    ...(typeof hint === "string" && { hint }),
    ...(Array.isArray(details) && { details: details.filter(isDetail) }),
  };
  const answered = `the server at ${placeText(place)} answered with status ${status}`;
  return new ExecutorError(reasonFor(code, status), typeof detail === "string" ? detail : answered, options);
}

function isDetail(value: unknown): value is FailureDetail {
  if (typeof value !== "object" || value === null || !("path" in value) || !("message" in value)) return false;
  return typeof value.path === "string" && typeof value.message === "string";
}

/** The server's reason; what HTTP alone can say becomes the nearest one. */
function reasonFor(code: unknown, status: number): Reason {
  if (typeof code === "string" && code !== "ok" && Object.hasOwn(reasonTable, code)) return code as Reason;
  if (status === 401 || status === 403) return "policy_denied";
  return status >= 500 ? "internal" : "validation";
}
