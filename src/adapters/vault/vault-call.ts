import { once } from "node:events";
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";
import type { VaultAddress } from "./vault-address.ts";
import { hints, vaultFailures } from "./vault-failure.ts";

export interface VaultBounds {
  /** One try of one question, from the look at the name to the last byte of the answer. */
  readonly tryMs: number;
  /** Before each further try of a question that was not answered. */
  readonly delaysMs: readonly number[];
  /** A value may be written with escapes, and stands beside what is told of it. */
  readonly maxAnswerBytes: number;
}

export const defaultVaultBounds: VaultBounds = { tryMs: 3_000, delaysMs: [100, 400], maxAnswerBytes: 128 * 1024 };

/** A question, below `/v1/`. */
export interface VaultQuestion {
  readonly path: string;
  /** Null: none is needed. */
  readonly token: string | null;
  /** Sent by POST where there is one. */
  readonly body?: Readonly<Record<string, string>>;
}

export interface VaultAnswer {
  readonly status: number;
  /** The answer's JSON; `undefined` where it is none. */
  readonly value: unknown;
}

/**
 * Asks, and again where nobody answered. Answers with any status that means something for the question.
 * @throws ExecutorError internal and `isAway`, with nothing of question or answer in it but the store's address.
 */
export type VaultCall = (question: VaultQuestion, signal: AbortSignal) => Promise<VaultAnswer>;

/** @param ca PEM; null: the usual certificates are trusted. */
export function vaultCall(
  { url, namespace }: Pick<VaultAddress, "url" | "namespace">,
  ca: Buffer | null,
  bounds: VaultBounds,
): VaultCall {
  const failures = vaultFailures(url);
  const isTls = url.startsWith("https:");
  // Idle connections hold no process.
  const agent = isTls
    ? new HttpsAgent({ keepAlive: true, ...(ca !== null && { ca }) })
    : new HttpAgent({ keepAlive: true });
  const request = isTls ? httpsRequest : httpRequest;

  const asked = async ({ path, token, body }: VaultQuestion, signal: AbortSignal): Promise<VaultAnswer> => {
    const text = body === undefined ? null : JSON.stringify(body);
    const sent = request(`${url}/v1/${path}`, {
      method: text === null ? "GET" : "POST",
      headers: {
        // An agent in between may want it, to know that no browser was talked into the question.
        "X-Vault-Request": "true",
        ...(token !== null && { "X-Vault-Token": token }),
        ...(namespace !== null && { "X-Vault-Namespace": namespace }),
        ...(text !== null && { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) }),
      },
      agent,
      maxHeaderSize: 16 * 1024,
      signal,
    });
    // Whatever comes after the answer.
    sent.on("error", () => undefined);
    const answered = once(sent, "response", { signal });
    sent.end(text);
    const [answer]: IncomingMessage[] = await answered;
    if (answer === undefined) throw new Error("an answer without a message");
    const status = answer.statusCode ?? 0;
    const bytes = await wholeOf(answer, bounds.maxAnswerBytes);
    if (bytes === null) throw failures.barred(`its answer is longer than ${bounds.maxAnswerBytes} bytes`, hints.server);
    return { status, value: jsonOf(bytes) };
  };

  const tried = async (question: VaultQuestion, signal: AbortSignal): Promise<VaultAnswer> => {
    using bound = deadline(signal, bounds.tryMs, () => failures.away("it did not answer in time", hints.reachable));
    let answer: VaultAnswer;
    try {
      answer = await asked(question, bound.signal);
    } catch (cause) {
      bound.signal.throwIfAborted();
      throw failures.unanswered(cause);
    }
    const failure = failures.unexpected(answer.status);
    if (failure !== null) throw failure;
    return answer;
  };

  return async (question, signal) => {
    for (const delayMs of bounds.delaysMs) {
      try {
        return await tried(question, signal);
      } catch (error) {
        if (!(error instanceof ExecutorError) || !error.isAway || error.isBarred) throw error;
        await sleep(delayMs, undefined, { signal });
      }
    }
    return await tried(question, signal);
  };
}

/** Null for one that is longer than it may be, with the connection gone. */
async function wholeOf(answer: IncomingMessage, maxBytes: number): Promise<Buffer | null> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of answer) {
    length += piece.length;
    if (length > maxBytes) return null;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** SAFETY: a parser's message quotes what it read, so no error of it is kept. */
function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

/** Of an object in JSON; `undefined` of anything else. */
export function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return Object.getOwnPropertyDescriptor(value, name)?.value;
}
