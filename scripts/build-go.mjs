// `build-go.mjs FOLDER`: compiles the Go program in it to FOLDER/client, for the tests; nothing is fetched.
import { goContainer, hasHostGo } from "./go.mjs";
import { asProgram, exitCode } from "./step.mjs";

const [folder] = process.argv.slice(2);
const args = ["build", "-trimpath", "-o", "client", "."];

await asProgram(async () => {
  if (await hasHostGo("1.24"))
    return await exitCode("go", args, { cwd: folder, stdout: 2, env: { CGO_ENABLED: "0", GOFLAGS: "-mod=mod" } });
  const container = await goContainer("none");
  try {
    await container.docker("cp", `${folder}/.`, `${container.id}:/src`);
    const [program, ...first] = container.command;
    const code = await exitCode(program, [...first, ...args], { stdout: 2 });
    if (code === 0) await container.docker("cp", `${container.id}:/src/client`, `${folder}/client`);
    return code;
  } finally {
    await container.end();
  }
});
