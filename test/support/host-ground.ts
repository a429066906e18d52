import { type Duplex, duplexPair } from "node:stream";
import {
  defaultHostCallCaps,
  type HostCallCaps,
  type HostCalls,
  type HostService,
  hostCalls,
} from "../../src/executor/host-calls.ts";
import { until } from "./until.ts";

/** A task's side of a connection to its host. */
export interface Caller {
  readonly stream: Duplex;
  /** All that came back so far. */
  heard(): string;
  /** Waits until it was closed from the other side. */
  closed(): Promise<void>;
  hears(text: string): Promise<void>;
}

export interface HostGround extends Disposable {
  readonly calls: HostCalls;
  /** What the task is not told. */
  readonly failures: readonly unknown[];
  /** A new connection that has written these. */
  connect(...texts: readonly (string | Buffer)[]): Caller;
}

export function hostGround(
  services: Readonly<Record<string, HostService>>,
  caps: Partial<HostCallCaps> = {},
  signal: AbortSignal = new AbortController().signal,
): HostGround {
  const failures: unknown[] = [];
  const streams: Duplex[] = [];
  const context = { tenantId: "acme", signal, onFailure: (_name: string, error: unknown) => void failures.push(error) };
  const calls = hostCalls(new Map(Object.entries(services)), context, { ...defaultHostCallCaps, ...caps });
  return {
    ...{ calls, failures },
    connect(...texts) {
      const [stream, inner] = duplexPair();
      streams.push(stream);
      let isClosed = false;
      void calls.serve(inner).then(() => {
        isClosed = true;
        // A pair does not tell one side that the other was destroyed.
        stream.destroy();
      });
      const heard: Buffer[] = [];
      stream.on("data", (piece: Buffer) => heard.push(piece));
      stream.on("error", () => undefined);
      stream.on("end", () => stream.end());
      for (const text of texts) stream.write(text);
      const all = (): string => Buffer.concat(heard).toString();
      return {
        stream,
        heard: all,
        closed: () => until("the host closes it", () => isClosed, 20_000).then(() => undefined),
        hears: (text) =>
          until(`${JSON.stringify(text)} is heard`, () => all().includes(text), 20_000).then(() => undefined),
      };
    },
    [Symbol.dispose]() {
      calls[Symbol.dispose]();
      for (const stream of streams) stream.destroy();
    },
  };
}

/** A call as a client writes it. */
export function post(path: string, body: string, headers: readonly string[] = []): string {
  const lines = [`POST ${path} HTTP/1.1`, "Host: host", `Content-Length: ${Buffer.byteLength(body)}`, ...headers];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}
