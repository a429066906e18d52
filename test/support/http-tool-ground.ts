import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { dialer } from "../../src/egress/dial.ts";
import type { EgressEvent } from "../../src/egress/passage.ts";
import { parseRules } from "../../src/egress/policy.ts";
import { defaultEgressCaps, egressProxy } from "../../src/egress/proxy.ts";
import { cleanExit } from "../../src/model/exit.ts";
import type { Limits } from "../../src/model/limits.ts";
import type { JsonObject } from "../../src/model/task.ts";
import { httpTool } from "../../src/tools/http/http.ts";
import { type Certificate, selfSigned } from "./certificate.ts";
import { farAddress } from "./egress-ground.ts";
import { aTask } from "./samples.ts";

/** What the tool's program did with one payload. */
export interface HttpCall {
  readonly code: number | null;
  readonly stderr: string;
  readonly stdout: string;
  /** As it would stand in the result; null where it left none. */
  readonly value: JsonObject | null;
  /** The files of `/output` but `result.json`. */
  readonly files: ReadonlyMap<string, Buffer>;
  readonly tookMs: number;
}

/** A request as a host has it. */
export interface HeardRequest {
  readonly scheme: "http" | "https";
  readonly method: string;
  /** Its `Host` and path. */
  readonly target: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface HttpToolGround extends AsyncDisposable {
  readonly heard: readonly HeardRequest[];
  readonly events: readonly EgressEvent[];
  readonly dialled: readonly string[];
  /** The tool's own command for a payload, run here instead of in a sandbox, with the proxy as its way out. */
  call(payload: JsonObject, options?: CallOptions): Promise<HttpCall>;
}

export interface CallOptions {
  readonly limits?: Partial<Limits>;
  readonly env?: Readonly<Record<string, string>>;
}

export interface HttpToolGroundOptions {
  readonly allow: readonly string[];
  readonly answer: RequestListener;
  /** Addresses by name, of those that do not lead to the internet. */
  readonly addresses?: Readonly<Record<string, readonly string[]>>;
  readonly certificate?: Certificate;
}

/** Names that the certificate of a ground is for. */
export const tlsNames = ["api.example.com", "other.example.com"];

/**
 * The real proxy on a loopback port, and behind it, whatever the name, two servers of the test: one for port 443 with TLS, one for 80.
 */
export async function httpToolGround(options: HttpToolGroundOptions): Promise<HttpToolGround> {
  await using stack = new AsyncDisposableStack();
  const certificate = options.certificate ?? stack.use(await selfSigned({ names: tlsNames }));
  const heard: HeardRequest[] = [];
  const listening = async (scheme: HeardRequest["scheme"], server: Server): Promise<number> => {
    server.on("request", async (request: IncomingMessage, response) => {
      request.socket.on("error", () => undefined);
      const { method = "", headers, url } = request;
      const body = await text(request).catch(() => "");
      heard.push({ scheme, method, target: `${headers.host}${url}`, headers, body });
      options.answer(request, response);
    });
    // What is spoken to it may be no TLS.
    server.on("tlsClientError", () => undefined);
    return await portOf(stack, server);
  };
  const ports: Readonly<Record<number, number>> = {
    80: await listening("http", createServer()),
    443: await listening(
      "https",
      createTlsServer({ key: readFileSync(certificate.keyPath), cert: readFileSync(certificate.certPath) }),
    ),
  };

  const events: EgressEvent[] = [];
  const dialled: string[] = [];
  const proxy = stack.use(
    egressProxy({
      rules: parseRules(options.allow, { author: "task", at: "/network/allow" }),
      dial: dialer({
        resolve: async (name) => options.addresses?.[name] ?? [farAddress],
        async connect(address, farPort) {
          dialled.push(`${address} ${farPort}`);
          const port = ports[farPort];
          if (port === undefined) throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
          const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
          await once(socket, "connect");
          return socket;
        },
        exceptions: [],
        resolveMs: 5000,
        connectMs: 5000,
      }),
      caps: defaultEgressCaps,
      onEvent: (event) => void events.push(event),
      nowMs: () => performance.now(),
    }),
  );
  const proxyServer = createTcpServer({ allowHalfOpen: true }, (socket) => void proxy.serve(socket, "http"));
  const way = `http://127.0.0.1:${await portOf(stack, proxyServer)}`;
  const env = {
    ...{ HTTP_PROXY: way, HTTPS_PROXY: way, http_proxy: way, https_proxy: way },
    ...(options.certificate === undefined ? { SSL_CERT_FILE: certificate.certPath } : {}),
  };
  const owned = stack.move();
  return {
    ...{ heard, events, dialled },
    call: (payload, { limits, env: more } = {}) =>
      called(payload, { ...aTask().limits, ...limits }, { ...env, ...more }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function portOf(
  stack: AsyncDisposableStack,
  server: Server | ReturnType<typeof createTcpServer>,
): Promise<number> {
  const sockets = new Set<{ destroy(): void }>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stack.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function called(payload: JsonObject, limits: Limits, env: Readonly<Record<string, string>>): Promise<HttpCall> {
  const tool = httpTool();
  const { argv, files, env: own } = tool.command(aTask({ tool_name: "http", payload, limits }));
  const base = await mkdtemp(join(tmpdir(), "toolx-http-"));
  const [workspace, output] = [join(base, "workspace"), join(base, "output")];
  try {
    await mkdir(output);
    for (const { path, bytes } of files) {
      await mkdir(dirname(join(workspace, path)), { recursive: true });
      await writeFile(join(workspace, path), bytes);
    }
    const startedMs = performance.now();
    const [, ...args] = argv;
    const child = spawn(process.execPath, args, { cwd: workspace, env: { TOOL_OUTPUT_DIR: output, ...own, ...env } });
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
    const tookMs = performance.now() - startedMs;
    const names = await readdir(output);
    const left = new Map(
      await Promise.all(names.map(async (name) => [name, await readFile(join(output, name))] as const)),
    );
    const resultJson = left.get("result.json") ?? null;
    left.delete("result.json");
    const value = resultJson === null ? null : (tool.value(cleanExit, resultJson) as JsonObject);
    return { code, stdout, stderr, value, files: left, tookMs };
  } finally {
    await rm(base, { recursive: true });
  }
}
