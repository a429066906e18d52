import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { settings } from "../../src/app/config-schema.ts";

const checkout = join(import.meta.dirname, "../..");
const unitPath = join(checkout, "deploy/systemd/tool-executor.service");

/** `[Section] Name` → values, in their order. @throws for a line that systemd would not take. */
async function readUnit(): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, string[]>();
  let section = "";
  for (const line of (await readFile(unitPath, "utf8")).split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const head = /^\[(Unit|Service|Install)\]$/.exec(line);
    const setting = /^([A-Z][A-Za-z]+)=(.*)$/.exec(line);
    if (head?.[1] !== undefined) section = head[1];
    else if (setting === null || section === "") throw new Error(`no line of a unit: ${line}`);
    else
      found.set(`[${section}] ${setting[1]}`, [...(found.get(`[${section}] ${setting[1]}`) ?? []), setting[2] ?? ""]);
  }
  return found;
}

describe("the unit for systemd", () => {
  test("starts a program of this checkout with settings that exist, and gives it longer than it drains", async () => {
    const unit = await readUnit();
    const [start = ""] = unit.get("[Service] ExecStart") ?? [];
    expect(existsSync(join(checkout, start.split(" ")[0]?.replace("/opt/tool-executor/", "") ?? ""))).toBe(true);
    const assigned = (unit.get("[Service] Environment") ?? []).flatMap((line) => line.split(" "));
    const known = Object.values(settings).map(({ name }) => name);
    for (const assignment of assigned) expect(known).toContain(assignment.split("=")[0]);
    const drain = assigned.find((each) => each.startsWith("TOOL_EXECUTOR_DRAIN_SECONDS="))?.split("=")[1];
    expect(Number(unit.get("[Service] TimeoutStopSec")?.[0])).toBeGreaterThan(Number(drain) + 10);
  });

  test.each([
    ["NoNewPrivileges", "yes"],
    ["CapabilityBoundingSet", ""],
    ["ProtectSystem", "strict"],
    ["ProtectHome", "yes"],
    ["PrivateDevices", "yes"],
    ["RestrictNamespaces", "yes"],
    ["RestrictSUIDSGID", "yes"],
    ["UMask", "0077"],
  ])("%s is %j", async (name, value) => {
    expect((await readUnit()).get(`[Service] ${name}`)).toEqual([value]);
  });

  test("holds nothing that systemd does not know, as far as there is one to ask", async () => {
    const { status, stderr, error } = spawnSync("systemd-analyze", ["verify", unitPath], { encoding: "utf8" });
    if (error !== undefined) {
      // Then only its form is known to be right: a line that is none throws.
      expect((await readUnit()).size).toBeGreaterThan(40);
      return;
    }
    // Whether the program is installed under /opt is this machine's own matter.
    const complaints = stderr.split("\n").filter((line) => line !== "" && !line.includes("is not executable"));
    expect({ complaints, ended: status !== null }).toEqual({ complaints: [], ended: true });
  });
});
