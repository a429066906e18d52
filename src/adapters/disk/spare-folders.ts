import { randomBytes } from "node:crypto";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Folders that are made before anybody needs one: to make a folder and its files waits for the disk, to rename it does not. */
export interface SpareFolders extends AsyncDisposable {
  /** From now on so many are there, as soon as the disk is at leisure. None before the first call. */
  keep(count: number): void;
  /** Puts one at `path`, with its files empty but for `owner`. False: none is there, or it was taken away. */
  placeAt(path: string, owner: string): boolean;
}

export interface SpareFoldersOptions {
  /** What `owner`, one of the files, says. A folder is nobody else's. */
  readonly owner: string;
  readonly ownerFile: string;
  /** Of the files that it has beside. */
  readonly emptyFiles: readonly string[];
}

/** A task is at work, and this is not to be in its way. */
const afterMs = 50;

/**
 * Its folders have names and owners as attempts' have, of a tenant and a task that cannot be: whoever sweeps takes them away when their owner is dead.
 * Dispose removes those that are left.
 */
export function spareFolders(root: string, { owner, ownerFile, emptyFiles }: SpareFoldersOptions): SpareFolders {
  let spares: string[] = [];
  let wanted = 0;
  let timer: NodeJS.Timeout | null = null;
  let filling = Promise.resolve();

  const made = async (): Promise<string> => {
    const path = join(root, `_._.0.${randomBytes(6).toString("hex")}`);
    try {
      // Without a turn of the event loop in between: whoever is killed there leaves a folder without an owner, which goes only once it is old.
      mkdirSync(path, { mode: 0o700 });
      writeFileSync(join(path, ownerFile), owner, { flag: "wx", mode: 0o600 });
      for (const name of emptyFiles) await writeFile(join(path, name), "", { flag: "wx", mode: 0o600 });
    } catch (error) {
      await rm(path, { recursive: true, force: true });
      throw error;
    }
    return path;
  };
  const fill = async (): Promise<void> => {
    try {
      while (spares.length < wanted) spares.push(await made());
    } catch {
      // Whoever needs a folder makes it, and says what is in the way.
    }
  };
  const fillLater = (): void => {
    if (timer !== null || spares.length >= wanted) return;
    timer = setTimeout(() => {
      timer = null;
      filling = filling.then(fill);
    }, afterMs);
    timer.unref();
  };

  return {
    keep(count) {
      wanted = count;
      fillLater();
    },
    placeAt(path, asked) {
      const spare = asked === owner ? spares.pop() : undefined;
      fillLater();
      if (spare === undefined) return false;
      try {
        renameSync(spare, path);
        return true;
      } catch {
        // A sweeper of old temporary files took it, and the others, too.
        const gone = spares;
        spares = [];
        filling = filling.then(() => removed([spare, ...gone]));
        return false;
      }
    },
    async [Symbol.asyncDispose]() {
      wanted = 0;
      if (timer !== null) clearTimeout(timer);
      await filling;
      await removed(spares);
      spares = [];
    },
  };
}

async function removed(paths: readonly string[]): Promise<void> {
  // What stays is swept as a dead owner's.
  await Promise.allSettled(paths.map((path) => rm(path, { recursive: true, force: true })));
}
