// `npm run down`: ends what `npm run up` started. The data stay, unless --volumes is given.
import { compose, readEnvironment, requireCompose } from "./compose.mjs";
import { asProgram, SetupError } from "./step.mjs";

await asProgram(async () => {
  if (Object.keys(await readEnvironment()).length === 0)
    throw new SetupError("nothing is up: there was no `npm run up` here");
  await compose(await requireCompose(), ["down", "--remove-orphans", ...process.argv.slice(2)]);
  return 0;
});
