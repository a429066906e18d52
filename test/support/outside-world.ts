// An internet in a network namespace of its own: every address is this machine's, and whatever comes to one is written down, as lines of
// JSON on standard output. Run by outside.ts within the namespace, never anywhere else.
import { execFileSync } from "node:child_process";
import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createServer, type Socket } from "node:net";
import { join, normalize } from "node:path";
import { dnsServer, type Zone } from "./dns-server.ts";

const [zoneText = "{}", certPath = "", keyPath = "", filesPath = ""] = process.argv.slice(2);
const zone = JSON.parse(zoneText) as Zone;
const tell = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`);

// SAFETY: in a namespace with any other interface this would take all of the machine's traffic.
if (execFileSync("ip", ["-o", "link"]).toString().trim().split("\n").length !== 1)
  throw new Error("there is more here than lo");
for (const line of ["link set lo up", "route add local 0.0.0.0/0 dev lo", "-6 route add local ::/0 dev lo"])
  execFileSync("ip", line.split(" "));

const answerHttp: RequestListener = (request, response) => {
  const url = new URL(request.url ?? "/", "http://x");
  const host = request.headers.host ?? "";
  switch (url.pathname) {
    case "/redirect":
      response.writeHead(302, { location: url.searchParams.get("to") ?? "/" }).end();
      return;
    case "/big": {
      const bytes = Number(url.searchParams.get("bytes"));
      response.writeHead(200, { "content-length": bytes });
      const piece = Buffer.alloc(64 * 1024, "x");
      let left = bytes;
      const more = (): void => {
        while (left > 0) {
          const next = piece.subarray(0, Math.min(left, piece.length));
          left -= next.length;
          if (!response.write(next)) return void response.once("drain", more);
        }
        response.end();
      };
      more();
      return;
    }
    case "/count": {
      let bytes = 0;
      request.on("data", (piece: Buffer) => {
        bytes += piece.length;
      });
      request.on("end", () => response.end(`${bytes}\n`));
      return;
    }
    default: {
      const file = join(filesPath, "files", normalize(url.pathname));
      if (existsSync(file) && statSync(file).isFile()) createReadStream(file).pipe(response);
      else if (url.pathname.startsWith("/hello")) response.end(`hello from ${host}${url.pathname}\n`);
      else response.writeHead(404).end("no such thing\n");
    }
  }
};

const seen = (socket: Socket): void => tell({ tcp: `${socket.localAddress} ${socket.localPort}` });
const tls = { cert: readFileSync(certPath), key: readFileSync(keyPath) };
const servers: readonly (readonly [number, { listen(port: number, host: string, done: () => void): unknown }])[] = [
  [80, createHttpServer(answerHttp).on("connection", seen)],
  [443, createHttpsServer(tls, answerHttp).on("connection", seen)],
  ...[22, 25, 53, 2375, 3306, 5432, 6379, 8080, 9000, 9092].map(
    (port) =>
      [
        port,
        createServer({ allowHalfOpen: true }, (socket) => {
          seen(socket);
          socket.on("error", () => undefined);
          socket.pipe(socket);
        }),
      ] as const,
  ),
];
for (const [port, server] of servers) await new Promise<void>((done) => server.listen(port, "::", done));

await dnsServer(zone, { address: "::", port: 53 }, (query) => tell({ dns: query }));
tell({ ready: true });
// Its end is the end of the namespace's.
process.stdin.resume().once("end", () => process.exit(0));
