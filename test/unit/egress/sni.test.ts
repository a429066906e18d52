import { duplexPair } from "node:stream";
import { connect } from "node:tls";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Hello, helloReader, maxHelloBytes } from "../../../src/egress/sni.ts";
import { clientHello, type Extensions, helloMessage, records, serverNames } from "../../support/client-hello.ts";

/** What is known after each piece, the last of it. */
function read(pieces: readonly Buffer[]): Hello {
  const reader = helloReader();
  let hello: Hello = { kind: "more" };
  for (const piece of pieces) {
    hello = reader.push(piece);
    if (hello.kind !== "more") break;
  }
  return hello;
}

const hello = (extensions: Extensions | null): Buffer => records(helloMessage(extensions));
const named = (name: string): Extensions => [[0, serverNames(name)]];

test("the name is found, whatever records and pieces it comes in", () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(lengths, fc.integer({ min: 1, max: 300 }), fc.nat(40), (pieceLengths, recordBytes, early) => {
      const behind = Buffer.alloc(early, 23);
      const whole = records(helloMessage([...named("api.example.com"), [21, Buffer.alloc(100)]]), recordBytes);
      const all = Buffer.concat([whole, behind]);
      const reader = helloReader();
      let seen: Hello = { kind: "more" };
      let at = 0;
      for (let n = 0; seen.kind === "more" && at < all.length; n++) {
        const end = at + (pieceLengths[n % pieceLengths.length] ?? 1);
        seen = reader.push(all.subarray(at, end));
        at = Math.min(end, all.length);
        // Never before the hello is whole, never later.
        expect(seen.kind === "more").toBe(at < whole.length);
      }
      expect(seen).toEqual({ kind: "whole", serverName: "api.example.com" });
      expect(reader.taken().equals(all.subarray(0, at))).toBe(true);
    }),
  );
});

test("a hello may be nearly as long as there is room for", () => {
  const cases = fc.record({
    padding: fc.integer({ min: 3_000, max: 30_000 }),
    recordBytes: fc.integer({ min: 1_000, max: 16_384 }),
    pieceBytes: fc.integer({ min: 500, max: 20_000 }),
  });
  fc.assert(
    fc.property(cases, ({ padding, recordBytes, pieceBytes }) => {
      const all = records(helloMessage([...named("api.example.com"), [21, Buffer.alloc(padding, 7)]]), recordBytes);
      const reader = helloReader();
      let seen: Hello = { kind: "more" };
      for (let at = 0; at < all.length; at += pieceBytes) seen = reader.push(all.subarray(at, at + pieceBytes));
      expect(seen).toEqual({ kind: "whole", serverName: "api.example.com" });
      expect(reader.taken().equals(all)).toBe(true);
    }),
  );
});

test("every place that a hello may be cut at is waited at", () => {
  const whole = clientHello("api.example.com");
  for (let at = 1; at < whole.length; at++) {
    expect(read([whole.subarray(0, at)])).toEqual({ kind: "more" });
    expect(read([whole.subarray(0, at), whole.subarray(at)])).toMatchObject({ serverName: "api.example.com" });
  }
});

test("what this Node sends is read", async () => {
  const [here, there] = duplexPair();
  const socket = connect({ socket: here, servername: "api.example.com" });
  socket.on("error", () => undefined);
  const first = await new Promise<Buffer>((resolve) => there.once("data", resolve));
  expect(read([first])).toEqual({ kind: "whole", serverName: "api.example.com" });
  socket.destroy();
});

test("no bytes whatever make it throw, or read on for ever", () => {
  const whole = clientHello("api.example.com");
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 4 }), (changes) => {
      const bytes = Buffer.from(whole);
      for (const [at, value] of changes) bytes[at] = value;
      const seen = read([bytes]);
      if (seen.kind === "whole") expect(seen.serverName).toHaveLength("api.example.com".length);
    }),
    { numRuns: 500 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void read([Buffer.from(bytes)])));
});

const message = helloMessage(named("a.example"));
const longer = (by: number): Buffer => {
  const changed = Buffer.from(message);
  changed.writeUIntBE(changed.readUIntBE(1, 3) + by, 1, 3);
  return changed;
};

test.each<[string, Buffer]>([
  ["plain HTTP", Buffer.from("GET / HTTP/1.1\r\n")],
  ["SSH", Buffer.from("SSH-2.0-OpenSSH_9.2\r\n")],
  ["a hello of SSL 2", Buffer.from([0x80, 0x2e, 1, 3, 1])],
  ["an alert", Buffer.from([21, 3, 1, 0, 2, 2, 112])],
  ["a record of another version", Buffer.from([22, 2, 0, 0, 1, 1])],
  ["an empty record", Buffer.from([22, 3, 1, 0, 0])],
  ["a record that is too long", Buffer.from([22, 3, 1, 0x40, 1])],
  ["another record in between", Buffer.concat([records(message.subarray(0, 20)), Buffer.from([20, 3, 3, 0, 1, 1])])],
  ["another message", records(Buffer.concat([Buffer.from([2]), message.subarray(1)]))],
  ["a message behind it", records(Buffer.concat([message, message]))],
  ["a length that is shorter than it", records(longer(-1))],
  ["no extensions", hello(null)],
  ["no name", hello([[43, Buffer.from([2, 3, 4])]])],
  ["the extension twice", hello([...named("a.example"), ...named("b.example")])],
  ["another extension twice", hello([...named("a.example"), [43, Buffer.alloc(0)], [43, Buffer.alloc(0)]])],
  ["two names", hello([[0, serverNames("a.example", "b.example")]])],
  ["an empty name", hello([[0, serverNames("")]])],
  ["an empty list", hello([[0, serverNames()]])],
  ["an empty extension", hello([[0, Buffer.alloc(0)]])],
  ["a name of another kind", hello([[0, serverNames([1, "a.example"])]])],
  ["something behind the list", hello([[0, Buffer.concat([serverNames("a.example"), Buffer.alloc(1)])]])],
  ["a name that is cut", hello([[0, serverNames("a.example").subarray(0, -1)]])],
  ["a hello that promises 16 MB", Buffer.concat(Array.from({ length: 3 }, () => records(Buffer.alloc(16_000, 1))))],
])("%s is refused", (_name, bytes) => {
  expect(read([bytes]).kind).toBe("refused");
});

test("a hello has an end, in however small pieces it comes", () => {
  const one = Buffer.from([22, 3, 1, 0, 1, 1]);
  const reader = helloReader();
  let [seen, sent]: [Hello, number] = [{ kind: "more" }, 0];
  while (seen.kind === "more" && sent <= 2 * maxHelloBytes) {
    seen = reader.push(one);
    sent += one.length;
  }
  expect(seen.kind).toBe("refused");
  expect(sent).toBeLessThanOrEqual(maxHelloBytes + one.length);
});
