import { once } from "node:events";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import { expect } from "vitest";
import type { Result } from "../../src/model/result.ts";
import type { Cli, CliEnd, CliProcess } from "./cli.ts";
import { until } from "./until.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Over the local socket instead of the address. */
  readonly local?: boolean;
}

/** A `toolx serve` that listens. Its end is the test's, or that of the {@link Cli} it belongs to. */
export interface Server {
  readonly process: CliProcess;
  readonly url: string;
  readonly socketPath: string;
  ask(path: string, asked?: Asked): Promise<Answer>;
  /** The answer while it is still coming. */
  open(path: string, asked?: Asked): Promise<{ readonly answer: IncomingMessage; readonly request: ClientRequest }>;
  /** Takes a task in; `wait` as in the query. */
  submit(request: object, wait?: string): Promise<Answer>;
  result(taskId: string): Promise<Result>;
}

/** @param settings beside those of the Cli; the port is any that is free. */
export async function startServer(
  cli: Cli,
  settings: Readonly<Record<string, string>> = {},
  flags: readonly string[] = [],
  through: readonly string[] = [],
): Promise<Server> {
  const env = { TOOL_EXECUTOR_HTTP_LISTEN: "127.0.0.1:0", ...settings };
  const process = cli.start(["serve", ...flags], { env, through });
  const said = await until(
    "the server says that it serves",
    () => {
      if (process.child.exitCode !== null) throw new Error(`toolx serve ended: ${process.stderr()}`);
      return /^serving {2}(?:(https?:\S+) and )?(\S+)$/m.exec(process.stderr());
    },
    30_000,
  );
  const [, url = "", socketPath = ""] = said;
  const open: Server["open"] = async (path, { method = "GET", headers, body, local } = {}) => {
    const place = local ? { socketPath, path } : { host: new URL(url).hostname, port: new URL(url).port, path };
    const request = httpRequest({ ...place, method, headers: { ...headers }, agent: false });
    request.end(body);
    const [answer] = (await once(request, "response")) as [IncomingMessage];
    return { answer, request };
  };
  const ask: Server["ask"] = async (path, asked) => {
    const { answer } = await open(path, asked);
    return { status: answer.statusCode ?? 0, headers: answer.headers, body: await buffer(answer) };
  };
  return {
    process,
    url,
    socketPath,
    open,
    ask,
    submit: (request, wait) =>
      ask(`/v1/tasks${wait === undefined ? "" : `?wait=${wait}`}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(request),
      }),
    async result(taskId) {
      const { body } = await ask(`/v1/tasks/${taskId}?wait=60s`);
      return JSON.parse(body.toString()) as Result;
    },
  };
}

/** A shell call. */
export const shellCall = (taskId: string, command: string, rest: object = {}): object => ({
  task_id: taskId,
  tool_name: "shell",
  payload: { command },
  ...rest,
});

/** Ends it as an operator does, and asserts that it ends well. */
export async function stopServer({ process }: Server): Promise<CliEnd> {
  process.child.kill("SIGTERM");
  const end = await process.ended();
  expect(end, end.stderr).toMatchObject({ code: 0 });
  return end;
}
