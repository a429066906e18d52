import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

test("processes that make one new task store at once accept and lease every task once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sqlite-processes-"));
  try {
    const program = join(import.meta.dirname, "..", "support", "take-in.ts");
    const reports = await Promise.all(
      Array.from({ length: 6 }, async (_, index) => {
        const path = join(folder, "data", "tasks.db");
        const { stdout } = await promisify(execFile)(process.execPath, [program, path, "50", String(index + 1)]);
        return JSON.parse(stdout) as { readonly accepted: number; readonly leased: readonly string[] };
      }),
    );
    expect(reports.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(50);
    const leased = reports.flatMap((report) => report.leased);
    expect(leased).toHaveLength(50);
    expect(new Set(leased).size).toBe(50);
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 30_000);
