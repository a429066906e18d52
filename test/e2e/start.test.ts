import { execFile } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const checkout = join(import.meta.dirname, "../..");

test("npm start on a machine that is set up ends with a plot within 15 s", async () => {
  await rm(join(checkout, "result"), { recursive: true, force: true });
  const startedAt = performance.now();
  const { stdout, stderr } = await promisify(execFile)("npm", ["start"], { cwd: checkout });
  const seconds = (performance.now() - startedAt) / 1000;
  expect(stdout).toContain("1461 days, 01 January 2012 to 31 December 2015");
  expect(stderr).toMatch(/✓ ok {2}t-/);
  expect(stderr).toContain(join(checkout, "result/seattle-months.png"));
  const plot = await readFile(join(checkout, "result/seattle-months.png"));
  expect(plot.subarray(1, 4).toString()).toBe("PNG");
  expect(plot.length).toBeGreaterThan(10_000);
  expect(JSON.parse(await readFile(join(checkout, "result/result.json"), "utf8"))).toMatchObject({
    wettest_month: "Nov",
  });
  expect(seconds).toBeLessThan(15);
});
