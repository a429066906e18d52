import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { gzipSync } from "node:zlib";

/** Something that listens where a server of ours should, and answers every request with the same. */
export interface StrangeServer extends AsyncDisposable {
  readonly url: string;
  /** All that it was sent. */
  heard(): string;
}

export type StrangeAnswer = (socket: Socket) => void;

export async function strangeServer(answer: StrangeAnswer): Promise<StrangeServer> {
  const sockets = new Set<Socket>();
  const heard: Buffer[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("data", (bytes: Buffer) => heard.push(bytes));
    socket.once("data", () => answer(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    heard: () => Buffer.concat(heard).toString("latin1"),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

const ok = (headers: string, body: string | Buffer): StrangeAnswer => {
  const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${headers}Connection: close\r\n\r\n`;
  return (socket) => socket.end(Buffer.concat([Buffer.from(head), Buffer.from(body)]));
};

const problem = (body: string): StrangeAnswer => {
  const head = "HTTP/1.1 422 Unprocessable\r\nContent-Type: application/problem+json\r\nConnection: close\r\n\r\n";
  return (socket) => socket.end(head + body);
};

/** What never ends, as fast as it is taken. */
const endless = (head: string, piece: Buffer): StrangeAnswer => {
  return (socket) => {
    const go = (): void => {
      while (!socket.destroyed && socket.write(piece));
    };
    socket.on("drain", go);
    socket.write(head);
    go();
  };
};

const empty = '{"tasks":[],"next_cursor":null}';
const piece = Buffer.alloc(1024 * 1024, " ");

/** By the row they stand for: what a request may hide in, an answer may hide in too. */
export const strangeAnswers: readonly (readonly [row: string, name: string, StrangeAnswer])[] = [
  ["G1", "no JSON", ok("", "<html>")],
  ["G1", "nothing at all", ok("", "")],
  ["G1", "null", ok("", "null")],
  ["G1", "an array", ok("", "[]")],
  ["G1", "a problem that is null", problem("null")],
  ["G1", "a problem of other kinds", problem('{"code":7,"detail":{"a":1},"hint":[],"details":[null,{"path":1}]}')],
  ["G1", "a problem that is none", problem('{"code":"ok","detail":"all is well"}')],
  ["G3", "a body without an end", endless("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", piece)],
  [
    "G3",
    "a refusal without an end",
    endless("HTTP/1.1 500 No\r\nContent-Type: application/problem+json\r\n\r\n", piece),
  ],
  ["G28", "both lengths", ok(`Content-Length: 9\r\nTransfer-Encoding: chunked\r\n`, empty)],
  ["G28", "two lengths", ok("Content-Length: 3\r\nContent-Length: 4\r\n", empty)],
  ["G28", "a length that is longer", ok("Content-Length: 9999\r\n", empty)],
  ["G28", "garbage for a chunk", ok("Transfer-Encoding: chunked\r\n", "zz\r\n")],
  ["G28", "100 KB of header", ok(`X: ${"x".repeat(100_000)}\r\n`, empty)],
  ["G28", "no HTTP at all", (socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n")],
  ["G28", "an end before the answer", (socket) => socket.destroy()],
  ["G28", "another place to ask", (socket) => socket.end("HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\n\r\n")],
  ["G29", "a packed body", ok("Content-Encoding: gzip\r\n", gzipSync(empty))],
  ["G34", "a detail that steers a terminal", problem('{"code":"quota","detail":"\\u001b]0;x\\u0007\\u001b[2J"}')],
];
