import type { Dial } from "../egress/dial.ts";
import { placeOf } from "../egress/host.ts";
import type { EgressEvent } from "../egress/passage.ts";
import type { Rule } from "../egress/policy.ts";
import { type EgressCaps, type EgressProxy, egressProxy } from "../egress/proxy.ts";
import { type EgressTally, egressTally } from "../egress/tally.ts";
import { httpProxyPort, socksProxyPort, taskRules } from "../egress/task-rules.ts";
import type { Attempt } from "../model/attempt.ts";
import type { AuditRecord } from "../model/audit.ts";
import type { JsonObject, Task } from "../model/task.ts";
import type { Clock } from "../ports/clock.ts";
import type { Sandbox, SandboxConnection, SandboxOut } from "../ports/sandbox.ts";

/** What an operator lets tasks reach, and how. */
export interface Egress {
  /** Hosts for bytes of any kind; a task names which of them it wants. */
  readonly tcp: readonly Rule[];
  readonly dial: Dial;
  readonly caps: EgressCaps;
  /** Certificates that sandboxes with a way out trust beside their image's, as PEM; empty: none. */
  readonly extraCa: string;
  /** The operator's record. If it throws, the task's way out is closed. */
  record(record: AuditRecord): void;
}

/** One task's way out of its sandbox, closed by dispose. A task whose request allows no host has none. */
export interface WayOut extends Disposable {
  /** Null: there is none. */
  readonly sandboxOut: SandboxOut | null;
  /** Leads clients to it. */
  readonly env: Readonly<Record<string, string>>;
  /** Lets this sandbox's task out. */
  serve(sandbox: Sandbox): void;
  readonly tally: EgressTally;
}

/** @throws ExecutorError validation | policy_denied, for a request that asks for what is not allowed. */
export function wayOut(
  { egress, clock }: { readonly egress: Egress; readonly clock: Clock },
  { attempt, task }: { readonly attempt: Attempt; readonly task: Task },
): WayOut {
  const rules = taskRules(task.network?.allow ?? [], egress.tcp);
  const tally = egressTally();
  if (rules.length === 0) return { ...noWayOut, tally };
  const attemptOf = { key: attempt.key, attempt: attempt.number, kind: "egress" as const };
  const record = (event: EgressEvent): void =>
    egress.record({ ...attemptOf, at: clock.now(), detail: detailOf(event) });
  let unrecorded = 0;
  const proxy = egressProxy({
    rules,
    dial: egress.dial,
    caps: egress.caps,
    nowMs: clock.monotonicMs,
    onEvent: (event) => {
      tally.add(event);
      // A task that is refused without end fills no table; whatever was reached is recorded.
      if (event.verdict === "denied" && tally.connections() > maxRefusals) unrecorded += 1;
      else record(event);
    },
  });
  const forwards = rules.filter(({ mode }) => mode === "tcp");
  return {
    tally,
    sandboxOut: {
      listen: [
        { port: httpProxyPort, to: "http" },
        { port: socksProxyPort, to: "socks" },
        ...forwards.flatMap(({ name, ports }) => ports.map((port) => ({ port, to: `${tcpPrefix}${name}:${port}` }))),
      ],
      extraCa: egress.extraCa,
    },
    env: { ...proxyVariables, ...(egress.extraCa === "" ? {} : trustVariables) },
    serve: (sandbox) => sandbox.serve((connection) => serveConnection(proxy, connection)),
    [Symbol.dispose]() {
      proxy[Symbol.dispose]();
      if (unrecorded > 0) egress.record({ ...attemptOf, at: clock.now(), detail: { unrecorded_refusals: unrecorded } });
      unrecorded = 0;
    },
  };
}

/** Of one attempt, each with a record of its own. */
const maxRefusals = 1_000;

/** As the operator reads it: with the rule, and the address that the task is not told. */
const detailOf = (event: EgressEvent): JsonObject => ({
  host: event.host,
  port: event.port,
  verdict: event.verdict,
  why: event.why,
  rule: event.rule,
  address: event.address,
  bytes_in: event.bytesIn,
  bytes_out: event.bytesOut,
  duration_ms: Math.round(event.durationMs),
});

const noWayOut: Omit<WayOut, "tally"> = {
  sandboxOut: null,
  env: {},
  serve: () => undefined,
  [Symbol.dispose]: () => undefined,
};

const tcpPrefix = "tcp:";

/** SAFETY: what the sandbox says of a connection only chooses how it is judged; every way to a host is judged. */
function serveConnection(proxy: EgressProxy, { to, stream }: SandboxConnection): void {
  if (to === "http" || to === "socks") return void proxy.serve(stream, to);
  const place = to.startsWith(tcpPrefix) ? placeOf(to.slice(tcpPrefix.length), null) : null;
  if (place === null) stream.destroy();
  else void proxy.serve(stream, place);
}

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
};
