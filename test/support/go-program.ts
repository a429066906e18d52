import { execFile } from "node:child_process";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { checkout } from "./cli.ts";

/** Compiles one file into a program that needs no library, with this machine's Go or with that of the image sandbox-init is built in. */
export async function goProgram(source: string, folder: string): Promise<string> {
  const place = join(folder, "go");
  await mkdir(place, { recursive: true });
  await writeFile(join(place, "main.go"), source);
  await writeFile(join(place, "go.mod"), "module client\n\ngo 1.24\n");
  const build = join(checkout, "scripts/build-go.mjs");
  await promisify(execFile)(process.execPath, ["--disable-warning=ExperimentalWarning", build, place]);
  await chmod(join(place, "client"), 0o755);
  return join(place, "client");
}
