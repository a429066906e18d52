import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fileLogSink } from "../../../../src/adapters/disk/file-log-sink.ts";
import type { Attempt } from "../../../../src/model/attempt.ts";
import type { LogEntry } from "../../../../src/ports/log-sink.ts";
import { anOwner } from "../../../support/samples.ts";

let folder: string;
let root: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "log-sink-"));
  root = join(folder, "logs");
});
afterEach(() => rmSync(folder, { recursive: true }));

const attempt = (taskId = "t-1"): Attempt => ({ key: { tenantId: "acme", taskId }, number: 2, owner: anOwner() });
const output = (seq: number, bytes: Buffer | string): LogEntry => ({
  kind: "output",
  seq,
  atMs: 0,
  stream: "stdout",
  bytes: Buffer.from(bytes),
});
const lines = (name = "t-1.2.ndjson"): readonly unknown[] =>
  readFileSync(join(root, "acme", name), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

test("every entry is one line, in order, text as text and other bytes as base64", async () => {
  {
    await using sink = fileLogSink(root);
    sink.write(attempt(), [output(1, "ü\n"), output(2, Buffer.from([0xff]))], "shell");
    sink.write(attempt(), [{ kind: "gap", from: 3, to: 9, bytes: 100 }], "shell");
    sink.write(attempt("t-2"), [output(1, "other")], "shell");
  }
  const place = { tenant: "acme", task: "t-1", attempt: 2 };
  const time = "1970-01-01T00:00:00.000Z";
  expect(lines()).toEqual([
    { time, ...place, seq: 1, stream: "stdout", text: "ü\n" },
    { time, ...place, seq: 2, stream: "stdout", base64: "/w==" },
    { ...place, gap: { from: 3, to: 9, bytes: 100 } },
  ]);
  expect(lines("t-2.2.ndjson")).toHaveLength(1);
  expect(statSync(join(root, "acme", "t-1.2.ndjson")).mode & 0o777).toBe(0o600);
});

test("what waits for the disk is bounded, and what finds no room is counted", async () => {
  const sink = fileLogSink(root, { maxWaitingBytes: 1000, maxFileBytes: 1_000_000 });
  const one = attempt();
  for (let seq = 0; seq < 100; seq++) sink.write(one, [output(seq, "x".repeat(50))], "shell");
  const dropped = sink.dropped();
  expect(dropped).toBe(80);
  await sink[Symbol.asyncDispose]();
  expect(lines()).toHaveLength(100 - dropped);
});

test("an attempt's file is bounded, over several writes too", async () => {
  await using sink = fileLogSink(root, { maxWaitingBytes: 1_000_000, maxFileBytes: 1000 });
  for (let seq = 0; seq < 100; seq++) sink.write(attempt(), [output(seq, "x")], "shell");
  await sink[Symbol.asyncDispose]();
  expect(statSync(join(root, "acme", "t-1.2.ndjson")).size).toBeLessThanOrEqual(1000);
  expect(lines().length + sink.dropped()).toBe(100);
});

test("a disk that fails drops lines and fails nothing", async () => {
  writeFileSync(root, "a file where the folder should be");
  await using sink = fileLogSink(root);
  sink.write(attempt(), [output(1, "a"), output(2, "b")], "shell");
  await sink[Symbol.asyncDispose]();
  expect(sink.dropped()).toBe(2);
});
