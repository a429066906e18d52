// An internet in a network namespace of its own: every address is this machine's, and whatever comes to one is written down, as lines of
// JSON on standard output. Run by outside.ts within the namespace, never anywhere else.
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createServer, type Socket } from "node:net";

const [zoneText = "{}", certPath = "", keyPath = ""] = process.argv.slice(2);
const zone = JSON.parse(zoneText) as Record<string, readonly (readonly string[])[]>;
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
    default:
      response.end(`hello from ${host}${url.pathname}\n`);
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

/** Answers A and AAAA from the zone; each query is told. */
const asked = new Map<string, number>();
const dns = createSocket("udp6");
dns.on("message", (query, from) => {
  const labels: string[] = [];
  let at = 12;
  while ((query[at] ?? 0) > 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + (query[at] ?? 0)));
    at += 1 + (query[at] ?? 0);
  }
  const name = labels.join(".").toLowerCase();
  const type = query.readUInt16BE(at + 1);
  const question = query.subarray(12, at + 5);
  const key = `${name} ${type}`;
  const count = asked.get(key) ?? 0;
  asked.set(key, count + 1);
  tell({ dns: key });
  const answers = zone[name];
  const addresses = (answers?.[Math.min(count, answers.length - 1)] ?? []).filter(
    (one) => one.includes(":") === (type === 28),
  );
  const head = Buffer.alloc(12);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(answers === undefined ? 0x8183 : 0x8180, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(addresses.length, 6);
  const records = addresses.map((address) => {
    const data = type === 28 ? sixBytes(address) : Buffer.from(address.split(".").map(Number));
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(type, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt16BE(data.length, 10);
    return Buffer.concat([record, data]);
  });
  dns.send(Buffer.concat([head, question, ...records]), from.port, from.address);
});
const sixBytes = (address: string): Buffer => {
  const [head = "", tail = ""] = address.split("::");
  const words = (part: string): string[] => part.split(":").filter((one) => one !== "");
  const [before, after] = [words(head), words(tail)];
  const middle = Array.from({ length: 8 - before.length - after.length }, () => "0");
  return Buffer.from([...before, ...middle, ...after].map((one) => one.padStart(4, "0")).join(""), "hex");
};
await new Promise<void>((done) => dns.bind(53, "::", done));
tell({ ready: true });
// Its end is the end of the namespace's.
process.stdin.resume().once("end", () => process.exit(0));
