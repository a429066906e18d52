import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { JsonValue } from "../../../src/model/task.ts";
import { canonicalJson, requestSha256 } from "../../../src/schema/canonical.ts";
import { aTask } from "../../support/samples.ts";

const anyJson = fc.jsonValue() as fc.Arbitrary<JsonValue>;

/** The same value with the members of every object in the other order. */
function turned(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, member]) => [name, turned(member)]),
  );
}

test("canonical text reads back as the same value", () => {
  fc.assert(
    fc.property(anyJson, (value) => {
      expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

test("the order of members does not matter", () => {
  fc.assert(
    fc.property(anyJson, (value) => {
      expect(canonicalJson(turned(value))).toBe(canonicalJson(value));
    }),
  );
});

test("members stand in the order of RFC 8785's own example", () => {
  const names = { "\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7 };
  expect(Object.values(JSON.parse(canonicalJson(names)))).toHaveLength(7);
  expect(canonicalJson(names)).toBe('{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\ud83d\ude00":5,"\ufb33":3}');
});

test("numbers are written as ECMAScript writes them", () => {
  expect(canonicalJson([1e21, 1.0, 1e-7, 0.1, 333333333.3333333, -0])).toBe("[1e+21,1,1e-7,0.1,333333333.3333333,0]");
});

test("a request is the same whatever its metadata say, and another with anything else", () => {
  const hash = requestSha256(aTask());
  expect(hash).toMatch(/^[0-9a-f]{64}$/);
  expect(requestSha256(aTask({ metadata: { correlation_id: "c-2" } }))).toBe(hash);
  const others = [
    aTask({ payload: { command: "false" } }),
    aTask({ env: { A: "" } }),
    aTask({ stdin: "" }),
    aTask({ priority: 6 }),
    aTask({ files: [{ path: "a", executable: false, content_base64: "" }] }),
    aTask({ files: [{ path: "a", executable: true, content_base64: "" }] }),
    aTask({ callback_url: "https://hooks.example/" }),
    aTask({ limits: { ...aTask().limits, pids: 129 } }),
  ];
  expect(new Set([hash, ...others.map(requestSha256)]).size).toBe(others.length + 1);
});

test.each([
  "x".repeat(300_000),
  `${"x".repeat(64 * 1024 - 1)}\u{1f600}${"\u{1f600}".repeat(100_000)}`,
  '"\\\n\u0000\u00e9\u20ac'.repeat(40_000),
  "x".repeat(64 * 1024),
  `${"x".repeat(64 * 1024)}y`,
  `${"x".repeat(64 * 1024)}\ud83d`,
])("a long text is written and hashed as a short one (%#)", (stdin) => {
  expect(canonicalJson({ stdin })).toBe(`{"stdin":${JSON.stringify(stdin)}}`);
  const task = aTask({ stdin });
  const { metadata: _metadata, ...request } = task;
  const whole = JSON.parse(JSON.stringify({ network: { allow: [] }, secrets: [], ...request, callback_url: null }));
  expect(requestSha256(task)).toBe(createHash("sha256").update(canonicalJson(whole)).digest("hex"));
});

test("the hash of a request does not change between versions", () => {
  expect(requestSha256(aTask())).toBe("5cb00eb17e740dbd057d02c84eb9ecb8f2f19db4cf0eadab8c9a1897ff66dfae");
});
