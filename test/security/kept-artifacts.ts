import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { storedArtifacts } from "../support/stored-artifacts.ts";
import type { Ground, Ran, Request } from "./ground.ts";
import { brief, expectReason, type HostileCase, hostile } from "./hostile-case.ts";

/** What came out of a task's `/output`. */
export interface Kept {
  readonly ran: Ran;
  /** Names and sizes, in the order of the tar. */
  readonly files: readonly (readonly [string, number])[];
  readonly folders: readonly string[];
  /** What was left out, by name, and why. */
  readonly skipped: Readonly<Record<string, string>>;
  readonly tar: Buffer;
  pull(folder: string): Promise<number>;
}

export async function kept(ground: Ground, request: Request): Promise<Kept> {
  const { objects } = ground.house.parts;
  const ran = await ground.run(request);
  const stored = await storedArtifacts(objects, ran.result);
  return {
    ran,
    files: stored?.manifest.entries.map(({ path, size_bytes }) => [path, size_bytes]) ?? [],
    folders: stored?.manifest.folders.map(({ path }) => path) ?? [],
    skipped: Object.fromEntries(stored?.skipped.map(({ path, why }) => [path, why]) ?? []),
    tar: stored?.tar ?? Buffer.alloc(0),
    pull: async (folder) => (await stored?.pull(folder)) ?? 0,
  };
}

/** In a folder of its own, gone afterwards. */
export async function inFolder(act: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "pulled-"));
  try {
    await act(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export type Look = (kept: Kept, ground: Ground) => void | Promise<void>;

/** A task that makes a tree and ends well, and what of it comes out. Everything that does comes out of a pull too. */
export const tree = (id: string, name: string, request: Request, look: Look): HostileCase =>
  hostile(
    id,
    name,
    async (ground) => {
      const found = await kept(ground, request);
      expectReason(found.ran.result, "ok");
      await look(found, ground);
      await inFolder(async (folder) => {
        expect(await found.pull(folder)).toBe(found.files.length);
        for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
          expect(entry.isFile() || entry.isDirectory(), `${entry.name} is a plain file or folder`).toBe(true);
      });
    },
    brief,
  );
