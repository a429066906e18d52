import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";

/** Files that no task may change (I4). */
const outside: readonly string[] = [
  "/etc/shadow",
  ...["runc", "containerd-shim-runc-v2", "containerd", "dockerd", "docker-proxy", "docker-init", "runsc"].flatMap(
    (name) => ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"].map((folder) => join(folder, name)),
  ),
].filter((path) => existsSync(path));

/** What they hold, by path. */
export async function hashesOfHost(): Promise<Readonly<Record<string, string>>> {
  return Object.fromEntries(await Promise.all(outside.map(async (path) => [path, await hashOf(path)] as const)));
}

const known = new Map<string, string>();

/** Read again only when the file is another one or was written: that is half a second for each case otherwise. */
async function hashOf(path: string): Promise<string> {
  const { dev, ino, size, mode, uid, gid, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  const identity = [path, dev, ino, size, mode, uid, gid, mtimeNs, ctimeNs].join(" ");
  const hash = known.get(identity) ?? (await sha256(path));
  known.set(identity, hash);
  return hash;
}

/** Whether every file outside still reads as its times say: for the end of a suite, which trusts them until then. */
export async function expectHostAsRead(): Promise<void> {
  for (const path of outside) expect(await sha256(path), `I4 ${path} at the end`).toBe(await hashOf(path));
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk);
  return hash.digest("hex");
}
