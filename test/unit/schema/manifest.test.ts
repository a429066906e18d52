import { expect, test } from "vitest";
import { encodeManifest, parseManifest } from "../../../src/schema/manifest.ts";

const entry = { path: "a", size_bytes: 1, sha256: "0".repeat(64), mime: "text/plain", offset: 512 };

test("a manifest comes back as it was", () => {
  const manifest = { entries: [{ ...entry, path: "\uFFFD", path_base64: "/w==" }], folders: [{ path: "d" }] };
  expect(parseManifest(encodeManifest(manifest, null), "key")).toEqual(manifest);
});

test("one that was stored before folders were named has none", () => {
  expect(parseManifest(Buffer.from(JSON.stringify({ entries: [entry], end: null })), "key")).toEqual({
    entries: [entry],
    folders: [],
  });
});

test.each<[string, unknown]>([
  ["no object", []],
  ["no entries", {}],
  ["an offset below zero", { entries: [{ ...entry, offset: -1 }] }],
  ["a size that is no whole number", { entries: [{ ...entry, size_bytes: 1.5 }] }],
  ["a size beyond exact numbers", { entries: [{ ...entry, size_bytes: 1e300 }] }],
  ["a hash that is none", { entries: [{ ...entry, sha256: "no" }] }],
  ["an entry without a name", { entries: [{ ...entry, path: undefined }] }],
  ["a folder without a name", { entries: [], folders: [{}] }],
])("%s is a damaged manifest, and the message says which", (_name, value) => {
  const refusal = { code: "internal", message: expect.stringContaining("tasks/x/manifest.json") };
  expect(() => parseManifest(Buffer.from(JSON.stringify(value)), "tasks/x/manifest.json")).toThrow(
    expect.objectContaining(refusal),
  );
});

test.each(["", "{", '{"entries":[]', "\xff"])("bytes that are no JSON: %j", (text) => {
  expect(() => parseManifest(Buffer.from(text, "latin1"), "key")).toThrow(/damaged/);
});
