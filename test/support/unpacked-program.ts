import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import { checkout } from "./cli.ts";

/** A program of a Debian package, and the environment it needs to run from where it was unpacked. */
export interface FoundProgram {
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
}

const libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"];

/** On the path, or where `npm test` unpacked it. @throws when it is in neither. */
export async function unpackedProgram(name: string): Promise<FoundProgram> {
  for (const folder of (process.env.PATH ?? "").split(":"))
    if (await isProgram(join(folder, name))) return { program: join(folder, name), env: {} };
  const place = join(checkout, "node_modules/.cache/tool-executor", name);
  const program = join(place, "usr/bin", name);
  if (!(await isProgram(program))) throw new Error(`${name} is not there: run npm test, which fetches it`);
  return { program, env: { LD_LIBRARY_PATH: libraries.map((folder) => join(place, folder)).join(":") } };
}

const isProgram = (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
