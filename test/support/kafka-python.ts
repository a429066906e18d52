import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** A folder for `PYTHONPATH` with kafka-python in it, as `pip install` brings it; gone after dispose. */
export async function kafkaPython(): Promise<AsyncDisposable & { readonly folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), "toolx-kafka-python-"));
  const pip = ["-m", "pip", "install", "--quiet", "--target", folder, "kafka-python==3.0.12"];
  await promisify(execFile)("python3", pip);
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
