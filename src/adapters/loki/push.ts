import { deadline } from "../../model/deadline.ts";
import type { LokiAddress } from "./loki-address.ts";

/** One line as Loki keeps it. */
export interface LokiLine {
  /** Of bounded cardinality: each combination is a stream of its own. */
  readonly labels: Readonly<Record<string, string>>;
  /** Unix nanoseconds; two equal lines of one stream with one time are one line to Loki. */
  readonly atNs: bigint;
  readonly text: string;
  /** Structured metadata: of any cardinality, found by a filter. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** `refused`: Loki will never take them as they are. `failed`: another try may do. */
export type Pushed = "taken" | "refused" | "failed";

/** Sends lines in one request. Never throws. */
export async function push(
  address: LokiAddress,
  lines: readonly LokiLine[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Pushed> {
  using bound = deadline(signal, timeoutMs, new Error(`Loki did not answer within ${timeoutMs} ms`));
  try {
    const answer = await fetch(`${address.url}/loki/api/v1/push`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(address.authorization === null ? {} : { authorization: address.authorization }),
      },
      body: JSON.stringify({ streams: streamsOf(lines) }),
      // A redirect would carry the lines to a place that nobody named.
      redirect: "error",
      signal: bound.signal,
    });
    // Read to its end, so that the connection is free for the next.
    await answer.arrayBuffer();
    if (answer.ok) return "taken";
    return answer.status === 429 || answer.status >= 500 ? "failed" : "refused";
  } catch {
    return "failed";
  }
}

function streamsOf(lines: readonly LokiLine[]): readonly object[] {
  const streams = new Map<string, { readonly stream: LokiLine["labels"]; readonly values: unknown[] }>();
  for (const { labels, atNs, text, metadata } of lines) {
    const name = JSON.stringify(labels);
    const stream = streams.get(name) ?? { stream: labels, values: [] };
    streams.set(name, stream);
    stream.values.push([String(atNs), text, metadata]);
  }
  return [...streams.values()];
}
