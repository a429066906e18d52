import { StringDecoder } from "node:string_decoder";

/** One line of what the engine says while it builds or pulls. */
export type EngineMessage =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "image"; readonly id: string }
  | { readonly kind: "error"; readonly text: string };

/**
 * The engine's answer to a build, a pull or an import, line by line. Ends with the stream; an `error` is followed by
 * nothing. Throws only when the connection breaks. Leaving the loop early ends the request, so that the engine does
 * not go on for nobody.
 */
export async function* engineMessages(answer: NodeJS.ReadableStream): AsyncGenerator<EngineMessage> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  for await (const chunk of answer) {
    const lines = (rest + decoder.write(Buffer.from(chunk))).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") yield engineMessage(line);
  }
  if (rest.trim() !== "") yield engineMessage(rest);
}

interface RawMessage {
  readonly stream?: unknown;
  readonly status?: unknown;
  readonly id?: unknown;
  readonly error?: unknown;
  readonly aux?: { readonly ID?: unknown };
}

/** One line read; what is no message of the engine's is passed on as text, because it may say what went wrong. */
export function engineMessage(line: string): EngineMessage {
  const raw = parseObject(line);
  if (raw === null) return { kind: "text", text: line };
  if (typeof raw.error === "string") return { kind: "error", text: raw.error };
  if (typeof raw.aux?.ID === "string") return { kind: "image", id: raw.aux.ID };
  if (typeof raw.stream === "string") return { kind: "text", text: raw.stream };
  const status = typeof raw.status === "string" ? raw.status : "";
  return { kind: "text", text: typeof raw.id === "string" ? `${raw.id}: ${status}` : status };
}

function parseObject(line: string): RawMessage | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as RawMessage) : null;
  } catch {
    return null;
  }
}
