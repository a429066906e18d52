import { expect } from "vitest";
import type { Ground, Ran } from "../ground.ts";
import { brief, expectReason, type HostileCase, hostile, python, shell } from "../hostile-case.ts";
import { inlineBytes, loggedBytes, storedLog } from "../stored-output.ts";

type Stream = "stdout" | "stderr";

/** A task that writes exactly these pieces, each with a write of its own, some time apart. */
const writes = (pieces: readonly Buffer[], fd: 1 | 2 = 1) =>
  python(
    `import os, time
for piece in ${JSON.stringify(pieces.map((piece) => piece.toString("hex")))}:
    os.write(${fd}, bytes.fromhex(piece)); time.sleep(0.01)`,
  );

/** What was written comes out of the result and of the log as the same bytes, and each is JSON that any reader takes. */
async function expectExact(ground: Ground, ran: Ran, written: Buffer, stream: Stream = "stdout"): Promise<void> {
  expectReason(ran.result, "ok");
  expect(ran.result.output[`${stream}_bytes`]).toBe(written.length);
  expect(inlineBytes(ran.result, stream).equals(written), "the bytes in the result").toBe(true);
  expect(loggedBytes(await storedLog(ground, ran), stream).equals(written), "the bytes in the log").toBe(true);
  const row = ran.record.resultBytes?.toString("utf8") ?? "";
  expect(Buffer.from(row).equals(ran.record.resultBytes ?? Buffer.alloc(0)), "the stored row is UTF-8").toBe(true);
  expect(row.isWellFormed()).toBe(true);
}

const bytes = (id: string, name: string, pieces: readonly Buffer[], encoding: "utf-8" | "base64", fd: 1 | 2 = 1) =>
  hostile(
    id,
    name,
    async (ground) => {
      const stream = fd === 1 ? "stdout" : "stderr";
      const ran = await ground.run(writes(pieces, fd));
      await expectExact(ground, ran, Buffer.concat(pieces), stream);
      expect(ran.result.output[`${stream}_encoding`]).toBe(encoding);
    },
    brief,
  );

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

const nul: readonly HostileCase[] = [
  hostile(
    "D4",
    "printf 'a\\0b'",
    async (ground) => {
      const ran = await ground.run(shell("printf 'a\\0b'"));
      await expectExact(ground, ran, Buffer.from("a\0b"));
      expect(ran.result.output.stdout).toBe("a\0b");
      // The log keeps it apart, for readers whose text knows no NUL.
      expect(await storedLog(ground, ran)).toMatchObject([{ base64: "YQBi" }]);
    },
    brief,
  ),
  hostile(
    "D4",
    'a result of "\\u0000"',
    async (ground) => {
      const ran = await ground.run(shell(`printf '"a\\\\u0000b"' >/output/result.json`));
      expectReason(ran.result, "ok");
      expect(ran.result.output.value).toBe("a\0b");
      expect(JSON.parse(ran.record.resultBytes?.toString() ?? "").output.value).toBe("a\0b");
    },
    brief,
  ),
  bytes("D4", "NUL on stderr, between writes", [hex("61"), hex("00"), hex("62")], "utf-8", 2),
];

const face = Buffer.from("😀");
const broken: readonly (readonly [string, string])[] = [
  ["a slash of two bytes", "c0 af"],
  ["a NUL of two bytes", "c0 80"],
  ["a slash of three bytes", "e0 80 af"],
  ["a slash of four bytes", "f0 80 80 af"],
  ["half of a surrogate pair", "ed a0 80"],
  ["a pair of surrogates, three bytes each", "ed a0 bd ed b8 80"],
  ["beyond the last character", "f4 90 80 80"],
  ["a character of five bytes", "f8 88 80 80 80"],
  ["a continuation by itself", "80"],
  ["bytes that no UTF-8 has", "ff fe"],
];

export const oddByteRows: readonly HostileCase[] = [
  ...nul,
  ...broken.map(([name, code]) => bytes("D4", `no UTF-8: ${name}`, [hex(`6f6b20 ${code} 206f6b0a`)], "base64")),
  ...[1, 2, 3].map((kept) =>
    bytes(
      "D4",
      `a character of four bytes that ends after ${kept}`,
      [Buffer.from("ok "), face.subarray(0, kept)],
      "base64",
    ),
  ),
  ...[1, 2, 3].map((kept) =>
    bytes(
      "D4",
      `a character of four bytes, written as ${kept} and ${4 - kept}`,
      [Buffer.concat([Buffer.from("ok "), face.subarray(0, kept)]), Buffer.concat([face.subarray(kept), hex("0a")])],
      "utf-8",
    ),
  ),
  bytes("D4", "a byte order mark first", [hex("ef bb bf 61")], "utf-8"),
  hostile(
    "D4",
    "characters written a byte at a time to both streams in turn",
    async (ground) => {
      const text = "é€😀".repeat(20);
      const code = `import os
for byte in bytes.fromhex("${Buffer.from(text).toString("hex")}"):
    os.write(1, bytes([byte])); os.write(2, bytes([byte]))`;
      const ran = await ground.run(python(code));
      for (const stream of ["stdout", "stderr"] as const) {
        await expectExact(ground, ran, Buffer.from(text), stream);
        expect(ran.result.output[stream]).toBe(text);
      }
      // Whole characters only: nowhere one that stands for half of another.
      for (const record of await storedLog(ground, ran)) expect(record).not.toHaveProperty("base64");
    },
    brief,
  ),
  hostile(
    "D4",
    "every byte there is, in every order of two",
    async (ground) => {
      const all = Buffer.from(Array.from({ length: 65_536 }, (_, at) => [at >> 8, at & 255]).flat());
      const ran = await ground.run(
        python("import sys\nsys.stdout.buffer.write(bytes(b for a in range(65536) for b in (a >> 8, a & 255)))"),
      );
      expectReason(ran.result, "ok");
      expect(loggedBytes(await storedLog(ground, ran), "stdout").equals(all)).toBe(true);
      expect(ran.result.output).toMatchObject({ stdout_bytes: all.length, stdout_encoding: "base64" });
    },
    brief,
  ),
];
