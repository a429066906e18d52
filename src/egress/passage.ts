import type { Duplex } from "node:stream";
import { ExecutorError } from "../model/failure.ts";
import { quoted } from "../model/quoted.ts";
import type { Dial } from "./dial.ts";
import type { Host, Place } from "./host.ts";
import { type ByteBudget, metered, type Traffic } from "./metered.ts";
import { decide, type Rule, type RuleMode } from "./policy.ts";

/** What became of one connection, or of one request: told once, when it is over. */
export interface EgressEvent {
  /** As it was judged; what is no host at all, quoted. */
  readonly host: string;
  /** Null where it was no port. */
  readonly port: number | null;
  /** `failed`: allowed, and not reached. */
  readonly verdict: "allowed" | "denied" | "failed";
  /** Why not; of what was allowed, what cut it off, or null. */
  readonly why: string | null;
  readonly hint: string | null;
  /** The rule's text, and the address that was connected to: for the operator's record, not for the task. */
  readonly rule: string | null;
  readonly address: string | null;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly durationMs: number;
}

export interface PassageCaps {
  /** Of one task at once; of its clients as many again. */
  readonly maxConnections: number;
  readonly idleMs: number;
  readonly totalMs: number;
}

export interface PassageParts {
  readonly rules: readonly Rule[];
  readonly dial: Dial;
  readonly caps: PassageCaps;
  readonly budget: ByteBudget;
  readonly onEvent: (event: EgressEvent) => void;
  /** Milliseconds that never jump. */
  readonly nowMs: () => number;
}

/** A connection to a host that a rule allows. It counts until its stream is closed. */
export interface Passage {
  readonly name: string;
  readonly mode: RuleMode;
  readonly stream: Duplex;
  /** Closes it, and has it recorded as denied. */
  deny(why: string): ExecutorError;
}

/**
 * Opens a connection for a task.
 * @param modes those that the way it came by can judge.
 * @throws ExecutorError policy_denied, quota for one more than may be open, internal for what is not reached; the event is told then.
 */
export type OpenPassage = (place: Place, modes: readonly RuleMode[], signal: AbortSignal) => Promise<Passage>;

export function passages({ rules, dial, caps, budget, onEvent, nowMs }: PassageParts): OpenPassage {
  let openCount = 0;
  return async (place, modes, signal) => {
    const startedMs = nowMs();
    const tell = (verdict: EgressEvent["verdict"], rest: Partial<EgressEvent>): void =>
      onEvent({
        ...{ host: hostText(place.host), port: place.port, verdict, why: null, hint: null, rule: null, address: null },
        ...{ bytesIn: 0, bytesOut: 0, durationMs: nowMs() - startedMs },
        ...rest,
      });
    const refuse = (error: ExecutorError, rule: Rule | null): ExecutorError => {
      const why = error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
      tell(error.code === "internal" ? "failed" : "denied", { why, hint: error.hint, rule: rule?.text ?? null });
      return error;
    };

    const decision = decide(rules, place.host, place.port);
    if (decision.kind === "denied") throw refuse(denial(decision.why, decision.hint), null);
    const { rule, name } = decision;
    if (!modes.includes(rule.mode)) throw refuse(wrongMode(rule, name, place.port), rule);
    if (budget.spentBytes >= budget.maxBytes) throw refuse(noMoreBytes(budget), rule);
    if (openCount >= caps.maxConnections) throw refuse(tooMany(caps.maxConnections), rule);

    openCount += 1;
    try {
      const { stream: inner, address } = await dial(name, place.port, signal);
      const traffic: Traffic = { bytesIn: 0, bytesOut: 0 };
      const stream = metered(inner, { ...caps, budget }, traffic);
      let denied: string | null = null;
      stream.once("close", () => {
        openCount -= 1;
        const why = denied ?? whyCut(stream.errored);
        tell(denied === null ? "allowed" : "denied", { why, rule: rule.text, address, ...traffic });
      });
      const deny = (why: string): ExecutorError => {
        denied = why;
        stream.destroy();
        return denial(why, null);
      };
      return { name, mode: rule.mode, stream, deny };
    } catch (error) {
      openCount -= 1;
      throw refuse(error instanceof ExecutorError ? error : new ExecutorError("internal", String(error)), rule);
    }
  };
}

/** A client that leaves is no reason to give. */
function whyCut(error: Error | null): string | null {
  const code = error !== null && "code" in error ? error.code : null;
  const isClientGone = code === "ERR_STREAM_PREMATURE_CLOSE" || code === "ABORT_ERR";
  return error === null || isClientGone ? null : error.message;
}

const hostText = (host: Host): string => {
  switch (host.kind) {
    case "name":
      return host.name;
    case "address":
      return host.address;
    case "refused":
      return `a host that ${host.why}`;
  }
};

const denial = (why: string, hint: string | null): ExecutorError =>
  new ExecutorError("policy_denied", why, hint === null ? {} : { hint });

function wrongMode(rule: Rule, name: string, port: number): ExecutorError {
  const how: Readonly<Record<RuleMode, string>> = {
    tls: "is allowed for TLS only",
    http: "is allowed for plain HTTP requests only, each with its whole URL",
    tcp: "is not reached by requests",
  };
  const hint = rule.mode === "tls" ? `add it to network.allow: ${quoted(`http://${name}:${port}`, 280)}` : null;
  return denial(`denied ${name}:${port}: it ${how[rule.mode]}`, hint);
}

const noMoreBytes = ({ maxBytes }: ByteBudget): ExecutorError =>
  denial(`denied: the task's connections carried ${maxBytes} bytes, the most that is allowed`, null);

const tooMany = (max: number): ExecutorError =>
  new ExecutorError("quota", `denied: the task has ${max} connections open, the most that is allowed`);
