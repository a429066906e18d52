import { once } from "node:events";
import { connect } from "node:net";
import { dialer } from "../../src/egress/dial.ts";
import type { Egress } from "../../src/egress/egress.ts";
import { parseExceptions } from "../../src/egress/policy.ts";
import { defaultEgressCaps, type EgressCaps } from "../../src/egress/proxy.ts";
import { parseTcpOffers } from "../../src/egress/task-rules.ts";
import type { JsonObject } from "../../src/model/task.ts";
import { type Origin, origin } from "./egress-ground.ts";

/** What tasks reach, written down; nothing is connected to but a server of the test. */
export interface RecordedEgress extends AsyncDisposable {
  readonly egress: Egress;
  /** `ADDRESS PORT` of what would have been connected to. */
  readonly dialled: readonly string[];
  readonly resolved: readonly string[];
  /** What the operator's record has. */
  readonly events: readonly JsonObject[];
  readonly server: Origin;
}

export interface RecordedEgressOptions {
  /** Where names lead: an answer for each time one is asked for, the last one from then on. */
  readonly names?: Readonly<Record<string, readonly (readonly string[])[]>>;
  readonly tcp?: readonly string[];
  readonly caps?: Partial<EgressCaps>;
  /** What the server does with what it hears; without, it answers each request with 200 and `hello`. */
  readonly answer?: Parameters<typeof origin>[0];
}

export async function recordedEgress(options: RecordedEgressOptions = {}): Promise<RecordedEgress> {
  const [dialled, resolved, events]: [string[], string[], JsonObject[]] = [[], [], []];
  const server = await origin(options.answer ?? hello);
  const dial = dialer({
    async resolve(name) {
      const answers = options.names?.[name];
      const asked = resolved.filter((each) => each === name).length;
      resolved.push(name);
      const answer = answers?.[Math.min(asked, answers.length - 1)];
      if (answer === undefined) throw Object.assign(new Error(`no ${name}`), { code: "ENOTFOUND" });
      return answer;
    },
    async connect(address, port) {
      dialled.push(`${address} ${port}`);
      const socket = connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
      await once(socket, "connect");
      return socket;
    },
    exceptions: parseExceptions([], "exceptions"),
    resolveMs: 5_000,
    connectMs: 5_000,
  });
  const egress: Egress = {
    tcp: parseTcpOffers(options.tcp ?? [], "EGRESS_TCP"),
    caps: { ...defaultEgressCaps, ...options.caps },
    extraCa: "",
    dial,
    record: ({ detail }) => void events.push(detail),
  };
  return { egress, dialled, resolved, events, server, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const hello: Parameters<typeof origin>[0] = (socket, soFar) => {
  if (soFar.endsWith("\r\n\r\n")) socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
};
