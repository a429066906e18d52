import type { Result } from "../model/result.ts";
import type { JsonValue } from "../model/task.ts";
import { terminalName } from "./terminal-text.ts";

/** What a person wants to know after a task: how it ended, what it took, its value, where its files are. For stderr. */
export function summaryLines(result: Result): readonly string[] {
  const { metrics, output, error } = result;
  const facts = [
    result.exit_code === null ? (result.signal ?? null) : `exit ${result.exit_code}`,
    metrics.duration_ms === null ? null : duration(metrics.duration_ms),
    metrics.memory_peak_bytes === null ? null : `peak ${size(metrics.memory_peak_bytes)}`,
    output.artifacts.length === 0
      ? null
      : `${output.artifacts.length} artifact${output.artifacts.length === 1 ? "" : "s"}`,
    output.truncated ? "log cut in the middle" : null,
  ].filter((fact) => fact !== null);
  const mark = result.status === "success" ? "✓" : "✗";
  const lines = [`${mark} ${result.reason}  ${[result.task_id, ...facts].join(" · ")}`];
  if (error && result.reason !== "nonzero_exit") {
    lines.push(`  ${terminalName(error.message)}`);
    if (error.hint) lines.push(`  hint: ${terminalName(error.hint)}`);
  }
  if (output.value !== null) lines.push(...valueLines(output.value));
  if (output.artifacts.length > 0) {
    // What is to be looked at comes first.
    const shown = new Set(output.results.map(({ artifact }) => artifact));
    const inOrder = output.artifacts.toSorted(
      (one, other) => Number(shown.has(other.path)) - Number(shown.has(one.path)),
    );
    for (const { path, size_bytes } of inOrder.slice(0, 10)) lines.push(`  ${terminalName(path)}  ${size(size_bytes)}`);
    if (output.artifacts.length > 10) lines.push(`  … and ${output.artifacts.length - 10} more`);
    lines.push(`  get them: toolx artifacts pull ${result.task_id}`);
  }
  return lines;
}

const maxValueLines = 20;
const maxLineCharacters = 200;

/** A value on one line when it fits, a text as it reads; cut, as `-o json` has the whole. */
function valueLines(value: JsonValue): readonly string[] {
  const oneLine = typeof value === "string" ? value : JSON.stringify(value);
  const isShort = oneLine.length <= 160 && !oneLine.includes("\n");
  if (isShort) return [`  value: ${terminalName(oneLine)}`];
  const all = (typeof value === "string" ? value : JSON.stringify(value, null, 2)).split("\n");
  const lines = all.slice(0, maxValueLines).map((line) => `    ${terminalName(cut(line))}`);
  const more = all.length - lines.length;
  return ["  value:", ...lines, ...(more > 0 ? [`    … and ${more} more lines`] : [])];
}

const cut = (line: string): string =>
  line.length <= maxLineCharacters ? line : `${line.slice(0, maxLineCharacters)}…`;

/** Bytes for people. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** Milliseconds for people. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60_000
    ? `${(ms / 1000).toFixed(1)} s`
    : `${Math.floor(ms / 60_000)} m ${Math.round((ms % 60_000) / 1000)} s`;
}
