import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Automaton, automaton } from "../../../src/secrets/automaton.ts";
import { secretForms } from "../../../src/secrets/forms.ts";
import { redactor } from "../../../src/secrets/redactor.ts";

const patternsOf = (named: Readonly<Record<string, string>>): Automaton =>
  automaton(Object.entries(named).map(([name, text]) => ({ name, bytes: Buffer.from(text) })));

/** What comes of these chunks, one after the other, and how often each name was told of. */
function redacted(patterns: Automaton, chunks: readonly Buffer[]) {
  const counts: Record<string, number> = {};
  const stream = redactor(patterns, (name) => {
    counts[name] = (counts[name] ?? 0) + 1;
  });
  const passed = chunks.map((chunk) => Buffer.from(stream.push(chunk)));
  return { text: Buffer.concat([...passed, stream.flush()]).toString("latin1"), counts, passed };
}

const bytewise = (bytes: Buffer): readonly Buffer[] => [...bytes].map((byte) => Buffer.from([byte]));

/** The same by the plainest means, on the whole: every place where a pattern stands, those that overlap made one. */
function oracle({ patterns }: Automaton, bytes: Buffer): string {
  const found = patterns
    .flatMap(({ name, bytes: pattern }) => {
      const starts: number[] = [];
      for (let at = bytes.indexOf(pattern); at !== -1; at = bytes.indexOf(pattern, at + 1)) starts.push(at);
      return starts.map((start) => ({ start, end: start + pattern.length, name }));
    })
    .sort((a, b) => a.start - b.start || b.end - a.end);
  let out = "";
  let from = 0;
  for (let at = 0; at < found.length; ) {
    const { start, name } = found[at] ?? { start: 0, name: "" };
    let end = start + 1;
    for (; at < found.length && (found[at]?.start ?? 0) < end; at += 1) end = Math.max(end, found[at]?.end ?? 0);
    out += `${bytes.toString("latin1", from, start)}[redacted:${name}]`;
    from = end;
  }
  return out + bytes.toString("latin1", from);
}

const pem = `-----BEGIN KEY-----\n${"MIIBVgIBADANBgkqhkiG9w0BAQEFAASC/+xyz\n".repeat(3)}-----END KEY-----`;
const secrets: Readonly<Record<string, Uint8Array>> = {
  TOKEN: Buffer.from("ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
  PASSWORD: Buffer.from("p'ä\"s$s/w\\o<r>d&+ !"),
  SHORT: Buffer.from("s3cr3t"),
  REPEATED: Buffer.from("abcabcabcabc"),
  BYTES: Buffer.from([0x00, 0xff, 0xfe, 0x0a, 0x80, 0xfb, 0xef, 0xbe]),
  KEY: Buffer.from(pem),
};
const allPatterns = automaton(
  Object.entries(secrets).flatMap(([name, value]) => secretForms(value).map((bytes) => ({ name, bytes }))),
);

/** Many cases: on a busy machine they take their time. */
const patience = { timeout: 60_000 };

describe("no form of a secret comes through", patience, () => {
  test.each(Object.entries(secrets))("of %s, cut in two anywhere, and cut after every byte", (name, value) => {
    for (const form of secretForms(value)) {
      const bytes = Buffer.concat([Buffer.from("\n<<"), form, Buffer.from(">>\n")]);
      const wanted = `\n<<[redacted:${name}]>>\n`;
      const seen = new Set([redacted(allPatterns, bytewise(bytes)).text]);
      for (let cut = 0; cut <= bytes.length; cut += 1)
        seen.add(redacted(allPatterns, [bytes.subarray(0, cut), bytes.subarray(cut)]).text);
      expect([...seen], form.toString("latin1")).toEqual([wanted]);
    }
  });

  test("across the ends of pieces of 32 and 64 KiB", () => {
    const value = Buffer.from(secrets.TOKEN ?? []);
    for (const size of [32 * 1024, 64 * 1024])
      for (let before = 0; before <= value.length; before += 1) {
        const filler = Buffer.alloc(size - before, "The quick brown fox. ");
        const bytes = Buffer.concat([filler, value, filler]);
        const chunks = [bytes.subarray(0, size), bytes.subarray(size)];
        const { text } = redacted(allPatterns, chunks);
        expect(text === `${filler}[redacted:TOKEN]${filler}`, `${before} bytes before ${size}`).toBe(true);
      }
  });
});

describe("of matches that meet", () => {
  test.each<[string, Readonly<Record<string, string>>, string, string]>([
    ["the longer of two that begin together counts", { A: "abcd", B: "abcdef" }, "xabcdefx", "x[redacted:B]x"],
    ["the shorter counts where the longer is not there", { A: "abcd", B: "abcdef" }, "xabcdex", "x[redacted:A]ex"],
    ["one within another is a part of it", { A: "cde", B: "abcdef" }, "abcdef cde", "[redacted:B] [redacted:A]"],
    ["one within what was not another is itself", { A: "cde", B: "abcdef" }, "abcdeX", "ab[redacted:A]X"],
    ["what overlaps is one place under the first name", { A: "abcd", B: "cdef" }, "abcdef", "[redacted:A]"],
    ["a row of them is one place", { A: "abcd", B: "cdab" }, "abcdabcdabX", "[redacted:A]X"],
    ["a secret that overlaps itself is one place", { A: "aaaa" }, "baaaaaaab", "b[redacted:A]b"],
    [
      "those that touch are two places",
      { A: "abcd", B: "efgh" },
      "abcdefghabcd",
      "[redacted:A][redacted:B][redacted:A]",
    ],
    ["of equal values the first name counts", { A: "abcd", B: "abcd" }, "abcd", "[redacted:A]"],
    ["a beginning alone is no secret", { A: "abcd" }, "abc", "abc"],
  ])("%s", (_name, named, text, wanted) => {
    const patterns = patternsOf(named);
    expect(redacted(patterns, [Buffer.from(text)]).text).toBe(wanted);
    expect(redacted(patterns, bytewise(Buffer.from(text))).text).toBe(wanted);
  });

  test("marks are counted by name", () => {
    const { text, counts } = redacted(patternsOf({ A: "abcd", B: "efgh" }), [Buffer.from("abcd efgh abcd abc")]);
    expect(counts).toEqual({ A: 2, B: 1 });
    expect(text.match(/redacted/g)).toHaveLength(3);
  });
});

/** Few letters, so that patterns begin, hold and overlap one another, and texts nearly match. */
const letters = (minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength, maxLength });
const somePatterns = fc
  .array(letters(3, 9), { minLength: 1, maxLength: 6 })
  .map((texts) => patternsOf(Object.fromEntries(texts.map((text, index) => [`N${index}`, text]))));
const cuts = fc.array(fc.nat(200), { maxLength: 12 });

/** Text made of pieces of patterns and other letters. */
const textAbout = ({ patterns }: Automaton): fc.Arbitrary<Buffer> => {
  const piece = fc
    .tuple(fc.constantFrom(...patterns), fc.nat(9), fc.integer({ min: 1, max: 9 }))
    .map(([{ bytes }, from, length]) =>
      bytes
        .toString()
        .slice(from % bytes.length)
        .slice(0, length),
    );
  return fc.array(fc.oneof(piece, letters(1, 4)), { maxLength: 25 }).map((pieces) => Buffer.from(pieces.join("")));
};

function pieces(bytes: Buffer, at: readonly number[]): readonly Buffer[] {
  const ends = [...at.map((cut) => Math.min(cut, bytes.length)), bytes.length].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

describe("however a stream is cut", patience, () => {
  test("it comes out as if every secret had been replaced in the whole", () => {
    const cases = somePatterns.chain((patterns) => fc.tuple(fc.constant(patterns), textAbout(patterns), cuts));
    fc.assert(
      fc.property(cases, ([patterns, bytes, at]) => {
        const wanted = oracle(patterns, bytes);
        expect(redacted(patterns, [bytes]).text).toBe(wanted);
        expect(redacted(patterns, pieces(bytes, at)).text).toBe(wanted);
        expect(redacted(patterns, bytewise(bytes)).text).toBe(wanted);
      }),
      { seed: 51, numRuns: 500 },
    );
  });

  test("so does text with whole forms of secrets in it, one behind the other and half of them cut off", () => {
    const form = fc
      .tuple(fc.constantFrom(...allPatterns.patterns), fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean())
      .map(([{ bytes }, share, isWhole]) => (isWhole ? bytes : bytes.subarray(0, Math.floor(share * bytes.length))));
    const filler = fc.oneof(
      fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
      fc.lorem().map(Buffer.from),
    );
    const text = fc.array(fc.oneof(form, filler), { maxLength: 12 }).map((parts) => Buffer.concat(parts));
    fc.assert(
      fc.property(text, fc.array(fc.nat(2000), { maxLength: 12 }), (bytes, at) => {
        expect(redacted(allPatterns, pieces(bytes, at)).text).toBe(oracle(allPatterns, bytes));
      }),
      { seed: 52, numRuns: 150 },
    );
  });

  test("what has no secret in it passes byte for byte", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 12 }), (parts) => {
        const chunks = parts.map((part) => Buffer.from(part));
        const { text, counts } = redacted(allPatterns, chunks);
        expect(text).toBe(Buffer.concat(chunks).toString("latin1"));
        expect(counts).toEqual({});
      }),
      { seed: 53, numRuns: 300 },
    );
  });

  test("held back is the longest end that begins a pattern and is not the whole of it, and nothing else", () => {
    const cases = somePatterns.chain((patterns) => fc.tuple(fc.constant(patterns), textAbout(patterns), cuts));
    fc.assert(
      fc.property(cases, ([patterns, bytes, at]) => {
        const stream = redactor(patterns, () => undefined);
        let read = "";
        for (const chunk of pieces(bytes, at)) {
          read += chunk.toString();
          stream.push(chunk);
          const begins = patterns.patterns.map(({ bytes: pattern }) => pattern.toString());
          const ends = Array.from({ length: read.length + 1 }, (_, from) => read.slice(from));
          const isBegun = (end: string) => begins.some((each) => each.startsWith(end) && each.length > end.length);
          const longest = ends.find(isBegun);
          expect(stream.heldBytes()).toBe(longest?.length);
        }
      }),
      { seed: 54, numRuns: 300 },
    );
  });
});

test("a chunk without the beginning of a secret at its end is passed on as it is, uncopied", () => {
  const chunk = Buffer.from("nothing to be seen here, move along. ".repeat(100));
  const stream = redactor(allPatterns, () => undefined);
  expect(stream.push(chunk)).toBe(chunk);
});

test("only the beginning of a secret is held back, until it is known to be none", () => {
  const stream = redactor(patternsOf({ A: "secret" }), () => undefined);
  expect(stream.push(Buffer.from("a sec")).toString()).toBe("a ");
  expect(stream.push(Buffer.from("ond")).toString()).toBe("second");
  expect(stream.push(Buffer.from("secre")).toString()).toBe("");
  expect(stream.flush().toString()).toBe("secre");
});

test("after its end a stream begins anew: halves of two streams are no secret", () => {
  const stream = redactor(patternsOf({ A: "secret" }), () => undefined);
  const first = [stream.push(Buffer.from("sec")), stream.flush()];
  expect(Buffer.concat(first).toString()).toBe("sec");
  expect(Buffer.concat([stream.push(Buffer.from("ret")), stream.flush()]).toString()).toBe("ret");
});

test("a place is marked once, however far it goes on", () => {
  const stream = redactor(patternsOf({ A: "aaaa" }), () => undefined);
  const out = Array.from({ length: 50 }, () => stream.push(Buffer.alloc(1000, "a")).toString());
  expect(out.join("")).toBe("[redacted:A]");
  expect(stream.push(Buffer.from("b")).toString()).toBe("b");
});

test("streams that share patterns do not share what they hold", () => {
  const patterns = patternsOf({ A: "secret" });
  const [one, other] = [redactor(patterns, () => undefined), redactor(patterns, () => undefined)];
  one.push(Buffer.from("sec"));
  expect(other.push(Buffer.from("ret")).toString()).toBe("ret");
  expect(one.push(Buffer.from("ret")).toString()).toBe("[redacted:A]");
});

test("text that nearly matches everywhere takes a bounded number of times what plain text takes", patience, () => {
  const nearly = patternsOf({ A: `${"a".repeat(2000)}b`, B: `${"ab".repeat(1000)}c`, C: `${"a".repeat(500)}c` });
  const msOf = (bytes: Buffer): number => {
    const tries = Array.from({ length: 3 }, () => {
      const begun = process.cpuUsage();
      redacted(nearly, [bytes]);
      return process.cpuUsage(begun).user;
    });
    return Math.min(...tries) / 1000;
  };
  const sizeBytes = 2 * 1024 * 1024;
  const plain = msOf(Buffer.alloc(sizeBytes, "The quick brown fox jumps over the lazy dog. "));
  // Looking at each place anew would take thousands of times as long.
  for (const text of ["a", `${"a".repeat(1999)}c`, "ab", `${"a".repeat(1000)}d`])
    expect(msOf(Buffer.alloc(sizeBytes, text)), text.slice(-5)).toBeLessThan(200 * Math.max(plain, 1));
});
