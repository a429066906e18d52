import { statfs } from "node:fs/promises";

/** The share of each folder's disk that this user may still write, 0 to 1; a folder that cannot be looked at is left out. */
export async function diskFree(folders: Readonly<Record<string, string>>): Promise<Readonly<Record<string, number>>> {
  const found = await Promise.all(
    Object.entries(folders).map(async ([name, path]) => {
      const disk = await statfs(path).catch(() => null);
      return disk === null || disk.blocks === 0 ? [] : [[name, disk.bavail / disk.blocks] as const];
    }),
  );
  return Object.fromEntries(found.flat());
}
