import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What `bin/toolx` tells V8 when it starts a server: a part that has the executor in another process than that measures it so, too. */
export const serverFlags: readonly string[] = flagsIn(
  readFileSync(join(import.meta.dirname, "../../bin/toolx"), "utf8"),
);

function flagsIn(program: string): readonly string[] {
  const flags = /^ {2}compiling="([^"]+)"$/m.exec(program)?.[1];
  if (flags === undefined) throw new Error("bin/toolx has no flags for a server where they were");
  return flags.split(" ");
}
