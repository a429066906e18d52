import { createSocket } from "node:dgram";
import { once } from "node:events";

/** Where names lead: an answer for each time one is asked for, the last one from then on. */
export type Zone = Readonly<Record<string, readonly (readonly string[])[]>>;

export interface DnsServer extends AsyncDisposable {
  readonly port: number;
}

/** Answers A and AAAA from the zone over UDP; other names are none. `onQuery` hears `NAME TYPE` of each. */
export async function dnsServer(
  zone: Zone,
  place: { readonly address: string; readonly port: number },
  onQuery: (query: string) => void = () => undefined,
): Promise<DnsServer> {
  const asked = new Map<string, number>();
  const socket = createSocket(place.address.includes(":") ? "udp6" : "udp4");
  socket.on("message", (query, from) => {
    const { name, type, question } = questionOf(query);
    const key = `${name} ${type}`;
    const count = asked.get(key) ?? 0;
    asked.set(key, count + 1);
    onQuery(key);
    const answers = zone[name];
    const answer = answers?.[Math.min(count, answers.length - 1)] ?? [];
    const addresses = answer.filter((one) => one.includes(":") === (type === typeAaaa));
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(answers === undefined ? noSuchName : noError, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(addresses.length, 6);
    const records = addresses.map((address) => recordOf(address, type));
    socket.send(Buffer.concat([head, question, ...records]), from.port, from.address);
  });
  socket.bind(place.port, place.address);
  await once(socket, "listening");
  return {
    port: socket.address().port,
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, "close");
    },
  };
}

const typeAaaa = 28;
const noError = 0x8180;
const noSuchName = 0x8183;

function questionOf(query: Buffer): { readonly name: string; readonly type: number; readonly question: Buffer } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return {
    name: labels.join(".").toLowerCase(),
    type: query.readUInt16BE(at + 1),
    question: query.subarray(12, at + 5),
  };
}

/** For the name in the question, good for no time at all. */
function recordOf(address: string, type: number): Buffer {
  const data = type === typeAaaa ? sixBytes(address) : Buffer.from(address.split(".").map(Number));
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function sixBytes(address: string): Buffer {
  const words = (part: string): readonly string[] => part.split(":").filter((one) => one !== "");
  const [before, after] = address.split("::").map(words);
  const zeros = Array.from({ length: 8 - (before?.length ?? 0) - (after?.length ?? 0) }, () => "0");
  const all = [...(before ?? []), ...zeros, ...(after ?? [])];
  return Buffer.from(all.map((one) => one.padStart(4, "0")).join(""), "hex");
}
