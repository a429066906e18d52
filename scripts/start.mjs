// `npm start`: the set-up, then the main thing on real input.
import { join } from "node:path";
import { setup } from "./setup.mjs";
import { asProgram, checkout, exitCode, tell } from "./step.mjs";

/** Four years of Seattle's weather go in as a file; a table, a plot and a summary come out. Answers the exit code. */
async function demo() {
  const data = "node_modules/vega-datasets/data/seattle-weather.csv";
  const script = "examples/seattle-weather/analyse.py";
  const out = join(checkout, "result");
  tell(`toolx run python ${script} --file ${data} --out result`);
  const code = await exitCode(join(checkout, "bin/toolx"), [
    ...["run", "python", join(checkout, script)],
    ...["--file", join(checkout, data)],
    ...["--out", out],
  ]);
  if (code === 0) {
    tell(`the plot: ${join(out, "seattle-months.png")}`);
    tell("next: bin/toolx run shell -- 'echo hello from a container of its own', or bin/toolx --help");
  }
  return code;
}

await asProgram(async () => {
  await setup();
  return await demo();
});
