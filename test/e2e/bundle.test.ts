import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, readlink, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { checkout } from "../support/cli.ts";

const run = promisify(execFile);

interface Copy {
  readonly folder: string;
  bundle(): Promise<void>;
  toolx(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<string>;
}

/** A checkout of its own, never put together. */
async function copyOfCheckout(): Promise<Copy> {
  const folder = await mkdtemp(join(tmpdir(), "toolx-bundle-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const part of ["bin", "src", "scripts", "migrations", "package.json", "package-lock.json"])
    await cp(join(checkout, part), join(folder, part), { recursive: true });
  await symlink(join(checkout, "node_modules"), join(folder, "node_modules"));
  return {
    folder,
    async bundle() {
      await run(join(checkout, "node_modules/.bin/node"), [join(folder, "scripts/bundle.mjs")]);
    },
    async toolx(args, env = {}) {
      const [data, scratch, sockets] = ["data", "scratch", "run"].map((name) => join(folder, name));
      const places = { TOOL_EXECUTOR_DATA: data, SANDBOX_ROOT: scratch, TOOL_EXECUTOR_RUNTIME_DIR: sockets };
      const own = { ...process.env, ...places, ...env };
      const { stdout } = await run(join(folder, "bin/toolx"), args, { env: own });
      return stdout;
    },
  };
}

/** Replaces the words of `toolx --help`. */
async function say(words: string, { folder }: Copy): Promise<void> {
  const path = join(folder, "src/cli/program.ts");
  const source = await readFile(path, "utf8");
  const changed = source.replace(/\.description\("[^"]*"\)/, `.description(${JSON.stringify(words)})`);
  expect(changed).not.toBe(source);
  await writeFile(path, changed);
}

test("what is changed in the sources counts at once, before they are put together and afterwards", async () => {
  const copy = await copyOfCheckout();
  await say("never put together", copy);
  expect(await copy.toolx(["--help"])).toContain("never put together");
  await copy.bundle();
  expect(await copy.toolx(["--help"])).toContain("never put together");
  await say("changed since", copy);
  expect(await copy.toolx(["--help"])).toContain("changed since");
});

test("it is the program put together that runs while no source is newer", async () => {
  const copy = await copyOfCheckout();
  await copy.bundle();
  const longAgo = new Date(0);
  await say("hidden", copy);
  await utimes(join(copy.folder, "src/cli/program.ts"), longAgo, longAgo);
  expect(await copy.toolx(["--help"])).not.toContain("hidden");
});

test("the last three that were put together stay, for programs that still run, and older ones go", async () => {
  const copy = await copyOfCheckout();
  const names: string[] = [];
  for (const words of ["one", "two", "three", "four"]) {
    await say(words, copy);
    await copy.bundle();
    names.push(await readlink(join(copy.folder, "dist/current")));
  }
  const there = (await readdir(join(copy.folder, "dist"))).filter((name) => name !== "current");
  expect(there.sort()).toEqual(names.slice(1).sort());
});

test("an error of a tool's module, made with the sources' own SDK, is told as ours", async () => {
  const copy = await copyOfCheckout();
  await copy.bundle();
  const tool = join(copy.folder, "picky.mjs");
  await writeFile(
    tool,
    `import { defineTool, ExecutorError, payloadSchema } from ${JSON.stringify(join(copy.folder, "src/sdk.ts"))};
export const tools = [defineTool({
  name: "picky",
  description: "Refuses everything.",
  inputSchema: payloadSchema({}, []),
  outputSchema: null,
  images: ["shell"],
  runtime: null,
  limits: {},
  retry: "safe",
  command() { throw new ExecutorError("validation", "never content"); },
})];
`,
  );
  const end = await copy.toolx(["run", "picky", "--payload", "{}"], { TOOL_EXECUTOR_TOOLS: tool }).then(
    () => ({ code: 0, stderr: "" }),
    (error: { readonly code: number; readonly stderr: string }) => error,
  );
  expect(end.stderr).toContain("never content");
  expect(end.code).toBe(2);
});
