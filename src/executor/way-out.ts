import type { Duplex } from "node:stream";
import { placeOf } from "../egress/host.ts";
import type { EgressEvent } from "../egress/passage.ts";
import type { Rule } from "../egress/policy.ts";
import { type EgressProxy, egressProxy, type Front } from "../egress/proxy.ts";
import { type EgressTally, egressTally } from "../egress/tally.ts";
import { callsPort, httpProxyPort, socksProxyPort, taskRules } from "../egress/task-rules.ts";
import type { Attempt } from "../model/attempt.ts";
import type { JsonObject, Task } from "../model/task.ts";
import type { Sandbox, SandboxConnection, SandboxOut, SandboxPort } from "../ports/sandbox.ts";
import { hostCalls, servicesFor } from "./host-calls.ts";
import type { Parts } from "./parts.ts";
import type { TaskSecrets } from "./task-secrets.ts";

/** One task's way out of its sandbox, closed by dispose. A task that may reach no host and calls no service has none. */
export interface WayOut extends Disposable {
  /** Null: there is none. */
  readonly sandboxOut: SandboxOut | null;
  /** Leads clients to it. */
  readonly env: Readonly<Record<string, string>>;
  /** Lets this sandbox's task out. */
  serve(sandbox: Sandbox): void;
  readonly tally: EgressTally;
}

/** What a way out is made with. */
export type WayOutParts = Pick<Parts, "egress" | "services" | "clock" | "log">;

/**
 * @param calls services of the host that the task's tool may ask.
 * @throws ExecutorError validation | policy_denied, for a request that asks for what is not allowed.
 */
export function wayOut(
  parts: WayOutParts,
  given: { readonly attempt: Attempt; readonly task: Task },
  calls: readonly string[],
  secrets: TaskSecrets | null,
): WayOut {
  const tally = egressTally();
  const rules = taskRules(given.task.network?.allow ?? [], parts.egress.tcp);
  const doors = [
    ...(rules.length > 0 ? [hostsDoor(parts, given.attempt, rules, { tally, secrets })] : []),
    ...(calls.length > 0 ? [callsDoor(parts, given.task, calls, secrets)] : []),
  ];
  return {
    tally,
    sandboxOut:
      doors.length === 0
        ? null
        : { listen: doors.flatMap(({ listen }) => listen), extraCa: rules.length > 0 ? parts.egress.extraCa : "" },
    env: Object.assign({}, ...doors.map(({ env }) => env)),
    serve(sandbox) {
      if (doors.length > 0) sandbox.serve((connection) => serveConnection(doors, connection));
    },
    [Symbol.dispose]() {
      for (const door of doors) door[Symbol.dispose]();
    },
  };
}

/** Some of the ports behind which we are. */
interface Door extends Disposable {
  readonly listen: readonly SandboxPort[];
  readonly env: Readonly<Record<string, string>>;
  /** Takes a connection to one of its ports; it never rejects. */
  serve(to: string, stream: Duplex): Promise<void>;
}

/** SAFETY: what the sandbox says of a connection only chooses who judges it, among those that this task may meet at all. */
function serveConnection(doors: readonly Door[], { to, stream }: SandboxConnection): void {
  const door = doors.find(({ listen }) => listen.some((port) => port.to === to));
  if (door === undefined) stream.destroy();
  else void door.serve(to, stream);
}

function callsDoor(
  { services, log }: WayOutParts,
  task: Task,
  calls: readonly string[],
  secrets: TaskSecrets | null,
): Door {
  const ending = new AbortController();
  const onFailure = (name: string, error: unknown): void => {
    const message = error instanceof Error ? error.message : String(error);
    log.note("warn", "call.failed", { name, message: secrets === null ? message : secrets.redaction.text(message) });
  };
  const served = hostCalls(servicesFor(calls, services), {
    ...{ tenantId: task.tenant_id, signal: ending.signal, onFailure },
  });
  return {
    listen: [{ port: callsPort, to: "call" }],
    env: { TOOL_CALL_URL: `http://127.0.0.1:${callsPort}` },
    serve: (_to, stream) => served.serve(stream),
    [Symbol.dispose]() {
      ending.abort(new Error("the task is over"));
      served[Symbol.dispose]();
    },
  };
}

function hostsDoor(
  { egress, clock }: WayOutParts,
  attempt: Attempt,
  rules: readonly Rule[],
  { tally, secrets }: { readonly tally: EgressTally; readonly secrets: TaskSecrets | null },
): Door {
  const attemptOf = { key: attempt.key, attempt: attempt.number, kind: "egress" as const };
  const record = (detail: JsonObject): void => egress.record({ ...attemptOf, at: clock.now(), detail });
  let unrecorded = 0;
  const onEvent = (event: EgressEvent): void => {
    tally.add(event);
    // A task that is refused without end fills no table; whatever was reached is recorded.
    if (event.verdict === "denied" && tally.connections() > maxRefusals) unrecorded += 1;
    else record(detailOf(event, (text) => (secrets === null ? text : secrets.hostText(text))));
  };
  // Many tasks that may go out never do, and a short one would wait for it.
  let proxy: EgressProxy | null = null;
  let isOver = false;
  const serve = async (stream: Duplex, front: Front): Promise<void> => {
    if (isOver) return void stream.destroy();
    proxy ??= egressProxy({ rules, dial: egress.dial, caps: egress.caps, nowMs: clock.monotonicMs, onEvent });
    await proxy.serve(stream, front);
  };
  const forwards = rules.filter(({ mode }) => mode === "tcp");
  return {
    listen: [
      { port: httpProxyPort, to: "http" },
      { port: socksProxyPort, to: "socks" },
      ...forwards.flatMap(({ name, ports }) => ports.map((port) => ({ port, to: `${tcpPrefix}${name}:${port}` }))),
    ],
    env: { ...proxyVariables, ...(egress.extraCa === "" ? {} : trustVariables) },
    async serve(to, stream) {
      if (to === "http" || to === "socks") return await serve(stream, to);
      const place = to.startsWith(tcpPrefix) ? placeOf(to.slice(tcpPrefix.length), null) : null;
      if (place === null) stream.destroy();
      else await serve(stream, place);
    },
    [Symbol.dispose]() {
      isOver = true;
      proxy?.[Symbol.dispose]();
      const count = unrecorded;
      unrecorded = 0;
      try {
        if (count > 0) record({ unrecorded_refusals: count });
      } catch {
        // The audit is full: nothing goes out any more, and the task's own end does not hang on this.
      }
    },
  };
}

/** Of one attempt, each with a record of its own. */
const maxRefusals = 1_000;

/** As the operator reads it: with the rule, and the address that the task is not told. */
const detailOf = (event: EgressEvent, withoutSecrets: (text: string) => string): JsonObject => ({
  host: withoutSecrets(event.host),
  port: event.port,
  verdict: event.verdict,
  why: event.why === null ? null : withoutSecrets(event.why),
  rule: event.rule,
  address: event.address,
  bytes_in: event.bytesIn,
  bytes_out: event.bytesOut,
  duration_ms: Math.round(event.durationMs),
});

const tcpPrefix = "tcp:";

const httpProxy = `http://127.0.0.1:${httpProxyPort}`;
const noProxy = "localhost,127.0.0.1,::1";

/** Both spellings: some clients know one only. SOCKS is not among them: many fail without a package where `ALL_PROXY` names it. */
const proxyVariables: Readonly<Record<string, string>> = {
  HTTP_PROXY: httpProxy,
  http_proxy: httpProxy,
  HTTPS_PROXY: httpProxy,
  https_proxy: httpProxy,
  NO_PROXY: noProxy,
  no_proxy: noProxy,
  NODE_USE_ENV_PROXY: "1",
  TOOL_SOCKS_PROXY: `socks5h://127.0.0.1:${socksProxyPort}`,
};

/** Where sandbox-init puts the certificates of the image and the operator's. */
const trusted = "/run/toolx/ca.pem";

const trustVariables: Readonly<Record<string, string>> = {
  SSL_CERT_FILE: trusted,
  CURL_CA_BUNDLE: trusted,
  REQUESTS_CA_BUNDLE: trusted,
  PIP_CERT: trusted,
  GIT_SSL_CAINFO: trusted,
  NODE_EXTRA_CA_CERTS: trusted,
  npm_config_cafile: trusted,
  WGETRC: "/run/toolx/wgetrc",
};
