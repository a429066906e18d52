import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { type Dial, dialer, type Resolve } from "../../src/egress/dial.ts";
import type { EgressEvent } from "../../src/egress/passage.ts";
import { parseExceptions, parseRules } from "../../src/egress/policy.ts";
import {
  defaultEgressCaps,
  type EgressCaps,
  type EgressProxy,
  egressProxy,
  type Front,
} from "../../src/egress/proxy.ts";
import { until } from "./until.ts";

export interface EgressGround extends AsyncDisposable {
  readonly proxy: EgressProxy;
  readonly events: readonly EgressEvent[];
  /** What would have been connected to: nothing is, but the server of the test. */
  readonly dialled: readonly string[];
  readonly resolved: readonly string[];
  /** A client of the proxy that has written these bytes. */
  talk(front: Front, ...bytes: readonly (string | Uint8Array)[]): Talk;
}

export interface Talk {
  readonly stream: Duplex;
  /** All that came back so far, as Latin-1. */
  heard(): string;
  /** Waits until it was closed from the other side. */
  closed(): Promise<void>;
  hears(text: string): Promise<void>;
}

export interface EgressGroundOptions {
  readonly allow: readonly string[];
  readonly exceptions?: readonly string[];
  readonly caps?: Partial<EgressCaps>;
  readonly resolve?: Resolve;
  readonly dial?: Dial;
  readonly onEvent?: (event: EgressEvent) => void;
}

/** An address of the internet that no test reaches. */
export const farAddress = "93.184.216.34";

/** A proxy whose dialer writes down what it is given, and connects to `port` of the loopback instead. */
export function egressGround(port: number, options: EgressGroundOptions): EgressGround {
  const [events, dialled, resolved]: [EgressEvent[], string[], string[]] = [[], [], []];
  const streams: Duplex[] = [];
  const dial = dialer({
    resolve: async (name, signal) => {
      resolved.push(name);
      return options.resolve === undefined ? [farAddress] : options.resolve(name, signal);
    },
    async connect(address, farPort) {
      dialled.push(`${address} ${farPort}`);
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      await once(socket, "connect");
      return socket;
    },
    exceptions: parseExceptions(options.exceptions ?? [], "exceptions"),
    resolveMs: 5000,
    connectMs: 5000,
  });
  const proxy = egressProxy({
    rules: parseRules(options.allow, { author: "operator", at: "/network/allow" }),
    dial: options.dial ?? dial,
    caps: { ...defaultEgressCaps, ...options.caps },
    onEvent: options.onEvent ?? ((event) => void events.push(event)),
    nowMs: () => performance.now(),
  });
  return {
    ...{ proxy, events, dialled, resolved },
    talk(front, ...bytes) {
      const [stream, inner] = duplexPair();
      streams.push(stream);
      void proxy.serve(inner, front);
      const heard: Buffer[] = [];
      let isClosed = false;
      stream.on("data", (piece: Buffer) => heard.push(piece));
      // A pair does not tell one side that the other was destroyed.
      inner.once("close", () => {
        isClosed = true;
        stream.destroy();
      });
      stream.on("error", () => undefined);
      stream.on("end", () => stream.end());
      for (const piece of bytes) stream.write(piece);
      const text = (): string => Buffer.concat(heard).toString("latin1");
      return {
        stream,
        heard: text,
        closed: () => until("the proxy closes it", () => isClosed, 10_000).then(() => undefined),
        hears: (wanted) =>
          until(`${JSON.stringify(wanted)} is heard`, () => text().includes(wanted), 10_000).then(() => undefined),
      };
    },
    async [Symbol.asyncDispose]() {
      proxy[Symbol.dispose]();
      for (const stream of streams) stream.destroy();
    },
  };
}

/** A server of the test, that gets whatever the proxy lets out. */
export interface Origin extends AsyncDisposable {
  readonly port: number;
  /** Of each connection, all that it was sent. */
  heard(): readonly string[];
}

/** @param answer called with each piece that comes, and with all of that connection so far. */
export async function origin(answer: (socket: Socket, soFar: string) => void): Promise<Origin> {
  const sockets: { readonly socket: Socket; text: string }[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const each = { socket, text: "" };
    sockets.push(each);
    socket.on("error", () => undefined);
    socket.on("end", () => socket.end());
    socket.on("data", (bytes: Buffer) => {
      each.text += bytes.toString("latin1");
      answer(socket, each.text);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    heard: () => sockets.map(({ text }) => text),
    async [Symbol.asyncDispose]() {
      for (const { socket } of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Says it back. */
export const echo = (): Promise<Origin> => origin((socket, soFar) => void socket.write(soFar.slice(-1)));
