import { describe, expect, test } from "vitest";
import { ExecutorError } from "../../../src/model/failure.ts";
import type { JsonValue } from "../../../src/model/task.ts";
import { redaction } from "../../../src/secrets/redaction.ts";

const secret = (name: string, text: string) => ({ name, value: Buffer.from(text) });
const some = () => redaction([secret("TOKEN", "s3cr3t/token"), secret("PIN", "48151623")]);

describe("text that is no stream", () => {
  test("is redacted in every form", () => {
    const text = `at s3cr3t/token, s3cr3t%2Ftoken or ${Buffer.from("s3cr3t/token").toString("hex")}`;
    expect(some().text(text)).toBe("at [redacted:TOKEN], [redacted:TOKEN] or [redacted:TOKEN]");
  });

  test("stays what it is without a secret in it, whatever characters it has", () => {
    for (const text of ["", "plain", "é😀 \u0000", "\ud800 alone", "s3cr3t/toke"]) expect(some().text(text)).toBe(text);
  });

  test("may hold half a secret before and after another text: nothing is held over", () => {
    const redacting = some();
    expect([redacting.text("s3cr3t"), redacting.text("/token")]).toEqual(["s3cr3t", "/token"]);
  });
});

describe("a value", () => {
  test.each<[string, JsonValue, JsonValue]>([
    ["its text, however deep", { a: [{ b: "x s3cr3t/token" }] }, { a: [{ b: "x [redacted:TOKEN]" }] }],
    ["names of members", { "s3cr3t/token": 1, b: 2 }, { "[redacted:TOKEN]": 1, b: 2 }],
    ["a number whose digits hold a secret", { a: 48151623, b: 4815162 }, { a: "[redacted:PIN]", b: 4815162 }],
    ["nothing else", [null, true, 1.5, "x", {}, []], [null, true, 1.5, "x", {}, []]],
  ])("%s", (_name, value, wanted) => {
    expect(some().json(value)).toEqual(wanted);
  });

  test("loses no member whose name becomes another's", () => {
    const value = { "s3cr3t/token": 1, "s3cr3t%2Ftoken": 2, "[redacted:TOKEN]#2": 3 };
    const redacted = some().json(value) as Readonly<Record<string, JsonValue>>;
    expect(Object.values(redacted)).toEqual([1, 2, 3]);
    expect(Object.keys(redacted)[0]).toBe("[redacted:TOKEN]");
  });

  test("keeps a member that is named as what every object has", () => {
    const value = JSON.parse('{"__proto__": "s3cr3t/token"}') as JsonValue;
    expect(JSON.stringify(some().json(value))).toBe('{"__proto__":"[redacted:TOKEN]"}');
  });
});

test("marks of streams, texts and values are counted together, by name", () => {
  const redacting = some();
  expect(redacting.counts()).toEqual({});
  const streams = [redacting.stream(), redacting.stream()];
  for (const stream of streams) stream.push(Buffer.from("s3cr3t/token 48151623"));
  redacting.text("48151623");
  redacting.json({ "48151623": "48151623" });
  expect(redacting.counts()).toEqual({ TOKEN: 2, PIN: 5 });
});

test("without secrets everything is passed on as it is", () => {
  const redacting = redaction([]);
  const chunk = Buffer.from("s3cr3t/token");
  expect(redacting.stream().push(chunk)).toBe(chunk);
  expect(redacting.stream().flush()).toHaveLength(0);
  expect(redacting.text("s3cr3t/token")).toBe("s3cr3t/token");
  expect(redacting.json({ a: 1 })).toEqual({ a: 1 });
  expect(redacting.counts()).toEqual({});
});

test("an end of line behind a value is no part of it", () => {
  expect(redaction([secret("A", "s3cr3t\r\n")]).text("s3cr3t!")).toBe("[redacted:A]!");
});

describe("a value that cannot be looked for is refused by its name, and never shown", () => {
  test.each([
    ["too short", "a1b2c", "secret DB_URL is too short, must have at least 6 bytes"],
    ["too short without its end of line", "a1b2c\n\n", "secret DB_URL is too short, must have at least 6 bytes"],
    ["empty", "", "secret DB_URL is too short, must have at least 6 bytes"],
    ["too long", "a1b2c3".repeat(1366), "secret DB_URL is too long, must have at most 8192 bytes"],
    ["spaces", "        ", "secret DB_URL is the same over and over, must have at least 3 different bytes"],
  ])("%s", (_name, text, message) => {
    const refused = expect.objectContaining({ code: "policy_denied", message });
    let thrown: unknown = null;
    try {
      redaction([secret("GOOD", "a1b2c3d4"), secret("DB_URL", text)]);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ExecutorError);
    expect(thrown).toEqual(refused);
  });

  test("the bounds themselves are taken", () => {
    for (const text of ["a1b2c3", "a1b2c3d4".repeat(1024)])
      expect(redaction([secret("A", text)]).text(text)).toBe("[redacted:A]");
  });
});
