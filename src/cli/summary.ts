import type { Result } from "../model/result.ts";
import { terminalName } from "./terminal-text.ts";

/** What a person wants to know after a task: how it ended, what it took, where its files are. For stderr. */
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
  if (output.artifacts.length > 0) {
    for (const { path, size_bytes } of output.artifacts.slice(0, 10))
      lines.push(`  ${terminalName(path)}  ${size(size_bytes)}`);
    if (output.artifacts.length > 10) lines.push(`  … and ${output.artifacts.length - 10} more`);
    lines.push(`  get them: toolx artifacts pull ${result.task_id}`);
  }
  return lines;
}

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
