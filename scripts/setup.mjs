// Everything a fresh machine needs before the first task: packages, engine, images. Runs on Node 20 and later with
// no package installed; quick when nothing is to do.
import { join } from "node:path";
import { requireEngine } from "./engine.mjs";
import { installPackages, pinnedNode } from "./packages.mjs";
import { asProgram, checkout, run } from "./step.mjs";

/** Throws a SetupError that says what is missing and what to do about it. */
export async function setup() {
  await installPackages();
  await run("putting the program together", pinnedNode, [join(checkout, "scripts/bundle.mjs")]);
  await requireEngine();
  await run("building the images", join(checkout, "bin/toolx"), ["images", "build"]);
}

if (import.meta.main ?? process.argv[1] === import.meta.filename) {
  await asProgram(async () => {
    await setup();
    return 0;
  });
}
