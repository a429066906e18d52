import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diskSpool } from "../../src/adapters/disk/disk-spool.ts";
import { spoolConformance } from "./spool.ts";

spoolConformance("disk, opened twice", async (maxIntakeBytes) => {
  const folder = await mkdtemp(join(tmpdir(), "spool-"));
  const open = () => diskSpool(join(folder, "spool"), { maxIntakeBytes, now: Date.now });
  const [one, other] = [await open(), await open()];
  return { one, other, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
});
