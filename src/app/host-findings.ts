import { statfs, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, privateFolder } from "../adapters/disk/private-folder.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Config } from "./config.ts";
import { type Finding, finding } from "./finding.ts";

const oldestNode = 24;
const leastFreeBytes = 1024 ** 3;

/** What this process needs of its host, the engine apart. Folders that are missing are made, as any other command would. */
export async function hostFindings(config: Config): Promise<readonly Finding[]> {
  return [
    nodeFinding(process.versions.node),
    await folderFinding("data folder", config.dataDir, "TOOL_EXECUTOR_DATA"),
    await folderFinding("scratch folder", config.sandboxRoot, "SANDBOX_ROOT"),
    await folderFinding("runtime folder", config.runtimeDir, "TOOL_EXECUTOR_RUNTIME_DIR"),
  ];
}

/** Pure. */
export function nodeFinding(version: string): Finding {
  return finding(
    "node",
    "look at our own version",
    { holds: Number.parseInt(version, 10) >= oldestNode, seen: version },
    { verdict: "fail", advice: `start with bin/toolx, which brings Node ${oldestNode}` },
  );
}

/** Private (ours alone to write) and writable, tried with a file; little free room is a warning. */
export async function folderFinding(name: string, path: string, setting: string): Promise<Finding> {
  const tried = `write a file in ${path}`;
  const advice = `give this user a folder of its own with free room, or set ${setting} to one`;
  try {
    privateFolder(path, setting);
    const probe = join(path, `.doctor-${process.pid}`);
    await writeFile(probe, "doctor", { mode: 0o600, flag: "wx" }).finally(() => unlink(probe).catch(() => undefined));
    const { bavail, bsize } = await statfs(path);
    const seen = `private, ${((bavail * bsize) / leastFreeBytes).toFixed(1)} GiB free`;
    return finding(name, tried, { holds: bavail * bsize >= leastFreeBytes, seen }, { verdict: "warn", advice });
  } catch (error) {
    const seen = error instanceof ExecutorError ? error.message : `cannot be written (${codeOf(error)})`;
    return { name, verdict: "fail", tried, seen, advice };
  }
}
