import type { IncomingMessage, Server } from "node:http";
import { isIP } from "node:net";
import { ExecutorError } from "../../model/failure.ts";
import type { ApiKeys } from "../../ports/api-keys.ts";
import { httpApi } from "./api.ts";
import { callerOf } from "./caller.ts";
import { guard, type KnownHosts, loopbackNames } from "./guard.ts";
import { listenOnAddress, listenOnSocket } from "./listen.ts";
import { closeServer, nodeServer, type ServerTls } from "./node-server.ts";
import { HttpProblem } from "./problem.ts";
import type { RouteContext } from "./route-context.ts";

type Given = "front" | "metrics" | "readiness" | "schemas" | "version" | "maxBodyBytes" | "onFailure";

export interface DoorOptions extends Pick<RouteContext, Given> {
  readonly keys: ApiKeys;
  readonly now: () => number;
  /** Null: on the socket only. Port 0: any that is free. */
  readonly listen: { readonly host: string; readonly port: number } | null;
  readonly socketPath: string;
  /** Names it may be called by at `listen`; empty: on the loopback its own, elsewhere any. */
  readonly hosts: readonly string[];
  readonly maxConnections: number;
  /** Of the address; the socket is this machine's own. Null: plain HTTP. */
  readonly tls: ServerTls | null;
}

/** The HTTP API, open. */
export interface Door extends AsyncDisposable {
  /** `http://host:port`, or null when only the socket is open. */
  readonly url: string | null;
  /** Takes no more tasks; everything else is answered until dispose. */
  refuseTasks(): void;
}

/**
 * Opens the API on a Unix socket (0600) and, where asked, on an address.
 * @throws ExecutorError policy_denied, for an address beyond the loopback without an API key; validation, when it cannot listen, or
 * another server has the socket.
 */
export async function openDoor(options: DoorOptions): Promise<Door> {
  const { listen, keys } = options;
  const isLoopback = listen === null || isLoopbackHost(listen.host);
  if (!isLoopback && usableKeys(keys, options.now()) === 0) throw keylessAddress(listen.host);

  const local = new WeakSet<IncomingMessage>();
  const closing = new AbortController();
  let takesTasks = true;
  const known = knownHosts(options.hosts, isLoopback);
  const app = await httpApi({
    ...options,
    guard: ({ raw }) => guard(raw, local.has(raw) ? null : known),
    closing: closing.signal,
    takesTasks: () => takesTasks,
    isOperator: ({ raw }) => local.has(raw),
    callerOf: ({ raw }) => (local.has(raw) ? { kind: "operator" } : callerOf(raw, keys, options.now())),
  });
  await app.ready();

  await using stack = new AsyncDisposableStack();
  stack.defer(() => app.close());
  const localServer = nodeServer((request, response) => {
    local.add(request);
    app.routing(request, response);
  }, options.maxConnections);
  await listenOnSocket(localServer, options.socketPath);
  stack.defer(() => closeServer(localServer, closeGraceMs));
  let url: string | null = null;
  if (listen !== null) {
    const server = addressServer((request, response) => app.routing(request, response), options);
    url = await listenOnAddress(server, options.tls === null ? "http" : "https", listen);
    stack.defer(() => closeServer(server, closeGraceMs));
  }
  stack.defer(() =>
    closing.abort(new HttpProblem("shutting_down", "the server ends", { hint: "ask again in a moment" })),
  );
  const held = stack.move();
  return {
    url,
    refuseTasks: () => {
      takesTasks = false;
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

function addressServer(
  answer: Parameters<typeof nodeServer>[0],
  { maxConnections, tls }: Pick<DoorOptions, "maxConnections" | "tls">,
): Server {
  try {
    return nodeServer(answer, maxConnections, tls);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ExecutorError("validation", `TOOL_EXECUTOR_HTTP_TLS_CERT and …_KEY: they cannot be used (${why})`, {
      cause,
      hint: "a certificate and its own key, both in PEM and without a passphrase",
    });
  }
}

/** An answer that is on its way may end. */
const closeGraceMs = 1000;

function usableKeys(keys: ApiKeys, now: number): number {
  return keys.list().filter(({ revokedAt, expiresAt }) => revokedAt === null && (expiresAt === null || expiresAt > now))
    .length;
}

const keylessAddress = (host: string): ExecutorError =>
  new ExecutorError(
    "policy_denied",
    `TOOL_EXECUTOR_HTTP_LISTEN: ${host} is not on the loopback, and there is no API key`,
    {
      hint: "make one first: toolx keys create --tenant NAME",
    },
  );

function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "");
  return bare === "localhost" || bare === "::1" || (isIP(bare) === 4 && bare.startsWith("127."));
}

function knownHosts(named: readonly string[], isLoopback: boolean): KnownHosts {
  if (named.length > 0)
    return new Set([...named.map((name) => name.toLowerCase()), ...(isLoopback ? loopbackNames : [])]);
  return isLoopback ? new Set(loopbackNames) : null;
}
