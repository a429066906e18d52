import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

export interface ReceivedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  /** As OTLP numbers them: 1 internal, 2 server, 4 producer, 5 consumer. */
  readonly kind: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** What was said of its failure; null: none. */
  readonly failure: string | null;
}

/** A collector of the tests: takes what is sent as OTLP over HTTP in JSON. */
export interface OtlpReceiver extends AsyncDisposable {
  readonly url: string;
  /** All that came, as it came. */
  readonly bodies: readonly string[];
  readonly headers: readonly IncomingHttpHeaders[];
  spans(): readonly ReceivedSpan[];
}

/** @param answer 200 takes it; another status refuses it; null: never answers. */
export async function startOtlpReceiver(answer: number | null = 200): Promise<OtlpReceiver> {
  const bodies: string[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    headers.push(request.headers);
    if (request.url === "/v1/traces" && request.method === "POST") bodies.push(body.toString());
    if (answer !== null) response.writeHead(answer, { "content-type": "application/json" }).end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    bodies,
    headers,
    spans: () => bodies.flatMap((body) => spansIn(JSON.parse(body) as OtlpTraces)),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

interface OtlpTraces {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[] }[];
}

interface OtlpSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly {
    readonly key: string;
    readonly value: { stringValue?: string; intValue?: number };
  }[];
  readonly status?: { readonly code?: number; readonly message?: string };
}

const spansIn = ({ resourceSpans }: OtlpTraces): readonly ReceivedSpan[] =>
  resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans.map(received)));

const received = (span: OtlpSpan): ReceivedSpan => ({
  name: span.name,
  traceId: span.traceId,
  spanId: span.spanId,
  parentSpanId: span.parentSpanId ?? "",
  kind: span.kind,
  startMs: Number(BigInt(span.startTimeUnixNano) / 1_000_000n),
  endMs: Number(BigInt(span.endTimeUnixNano) / 1_000_000n),
  attributes: Object.fromEntries(
    (span.attributes ?? []).map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? ""]),
  ),
  failure: span.status?.code === 2 ? (span.status.message ?? "") : null,
});
