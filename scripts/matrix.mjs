// `npm run test:matrix`: the hostile suite under every runtime on the installed engine, and on a newer one beside it.
// What stands behind `--` goes to the test runner: `npm run test:matrix -- -t C2`.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { onPinnedNode, pinnedNode } from "./packages.mjs";
import { installPrerequisites } from "./prerequisites.mjs";
import { startSecondEngine } from "./second-engine.mjs";
import { setup } from "./setup.mjs";
import { asProgram, checkout, endWhatRuns, exitCode, output, SetupError, tell } from "./step.mjs";

const runtimes = ["runc", "runsc"];
const images = ["base", "shell", "python", "node"];

/** Most that one run may take: one that hangs is ended, and the others are run. */
const suiteMs = 45 * 60_000;

await asProgram(async () => {
  const again = await onPinnedNode();
  if (again !== null) return again;
  await setup();
  await installPrerequisites();
  const second = await startSecondEngine();
  const interrupted = () => {
    endWhatRuns();
    void second.stop().finally(() => process.exit(130));
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    await copyImages(second.dockerHost);
    const outcomes = [];
    for (const dockerHost of [process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock", second.dockerHost]) {
      const engine = await engineName(dockerHost);
      for (const runtime of runtimes) {
        tell(`the hostile suite under ${runtime} on ${engine}`);
        outcomes.push({ engine, runtime, code: await hostileSuite(dockerHost, runtime) });
      }
    }
    for (const { engine, runtime, code } of outcomes)
      process.stdout.write(`${engine.padEnd(32)} ${runtime.padEnd(6)} ${code === 0 ? "green" : "FAILED"}\n`);
    const failed = outcomes.filter(({ code }) => code !== 0).length;
    process.stdout.write(`${outcomes.length - failed} passed, ${failed} failed\n`);
    return failed === 0 ? 0 : 1;
  } finally {
    await second.stop();
  }
});

async function engineName(dockerHost) {
  const format = "engine {{.Server.Version}}, API {{.Server.APIVersion}}";
  const name = await output("docker", ["--host", dockerHost, "version", "--format", format]);
  if (name === null) throw new SetupError(`no engine answers at ${dockerHost}`);
  return name.trim();
}

async function hostileSuite(dockerHost, runtime) {
  const program = join(checkout, "node_modules/vitest/vitest.mjs");
  const own = process.argv.slice(2);
  const suite = ["--project", "security", "test/security/hostile.test.ts"];
  const args = ["--disable-warning=ExperimentalWarning", program, "run", ...suite, ...own];
  // SAFETY: the suite refuses to run on another engine than this: for a time it ran on the installed one twice, and nobody saw.
  const engineId = await output("docker", ["--host", dockerHost, "info", "--format", "{{.ID}}"]);
  if (!engineId?.trim()) throw new SetupError(`the engine at ${dockerHost} does not tell who it is`);
  const env = { DOCKER_HOST: dockerHost, TOOLX_TEST_RUNTIME: runtime, TOOLX_TEST_ENGINE_ID: engineId.trim() };
  return await exitCode(pinnedNode, args, { env, boundMs: suiteMs });
}

/** Our images as the first engine has them, rather than built a second time. */
async function copyImages(dockerHost) {
  tell("copying the images to the second engine");
  const references = [];
  for (const image of images) {
    const listed = await output("docker", ["images", "--format", "{{.Repository}}:{{.Tag}}", `tool-executor/${image}`]);
    const newest = listed?.trim().split("\n")[0];
    if (!newest) throw new SetupError(`no image tool-executor/${image} on the engine: toolx images build ${image}`);
    references.push(newest);
  }
  await new Promise((resolve, reject) => {
    const save = spawn("docker", ["save", ...references], { stdio: ["ignore", "pipe", 2] });
    const load = spawn("docker", ["--host", dockerHost, "load", "--quiet"], { stdio: ["pipe", 2, 2] });
    save.stdout.pipe(load.stdin);
    load.stdin.on("error", () => undefined);
    load.once("error", reject);
    load.once("close", (code) => (code === 0 ? resolve() : reject(new SetupError(`docker load ended with ${code}`))));
  });
}
