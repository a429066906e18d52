import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** Brings packages that are Python alone into a folder, as wheels, from where this machine's pip gets them. Python imports from them as they are. */
export async function pythonWheels(packages: readonly string[], folder: string): Promise<string> {
  const place = join(folder, "wheels");
  await mkdir(place, { recursive: true });
  const pure = ["--only-binary", ":all:", "--no-deps", "--platform", "any", "--python-version", "3.11"];
  const args = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", ...pure, "--dest", place];
  await promisify(execFile)("python3", [...args, ...packages]);
  return place;
}
