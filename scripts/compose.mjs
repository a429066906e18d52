// The stack of compose.yaml: which compose program there is, and how it is called.
import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { refusalToInstall } from "./permission.mjs";
import { checkout, findProgram, output, run, runQuietly, SetupError, tell } from "./step.mjs";

export const stackName = process.env.STACK_NAME ?? "tool-executor";
const folder = join(checkout, ".tool-executor/stack");
const envFile = join(folder, `${stackName}.env`);

/** The program and its first arguments; installed where there is none and we may. */
export async function requireCompose() {
  const found = await findCompose();
  if (found !== null) return found;
  const refusal = await refusalToInstall("docker-compose");
  if (refusal !== null) {
    throw new SetupError(`no Docker Compose is here, and it is not installed: ${refusal}.
Install the compose plugin of your Docker, or docker-compose, and try again.`);
  }
  tell("installing docker-compose");
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  await runQuietly("apt-get update", "apt-get", ["-qq", "update"], env);
  const args = ["-qq", "--yes", "--no-install-recommends", "install", "docker-compose"];
  await runQuietly("installing docker-compose", "apt-get", args, env);
  const installed = await findCompose();
  if (installed === null) throw new SetupError("docker-compose is installed and cannot be run");
  return installed;
}

async function findCompose() {
  if ((await output("docker", ["compose", "version"])) !== null) return ["docker", "compose"];
  return (await findProgram("docker-compose")) === null ? null : ["docker-compose"];
}

/** Runs compose on our stack, with what was noted for it. */
export async function compose([program, ...first], args) {
  const files = ["--project-name", stackName, "--env-file", envFile, "--file", join(checkout, "compose.yaml")];
  await run(`compose ${args[0]}`, program, [...first, ...files, ...args]);
}

/** What compose.yaml is filled in with: passwords are made once and stay, as the volumes do. */
export async function noteEnvironment(images) {
  const before = await readEnvironment();
  const passwords = {
    POSTGRES_PASSWORD: before.POSTGRES_PASSWORD ?? randomBytes(24).toString("hex"),
    S3_SECRET_KEY: before.S3_SECRET_KEY ?? randomBytes(24).toString("hex"),
  };
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const lines = Object.entries({ ...images, ...passwords }).map(([name, value]) => `${name}=${value}\n`);
  await writeFile(envFile, lines.join(""), { mode: 0o600 });
}

/** As it was noted; empty when nothing was. */
export async function readEnvironment() {
  const text = await readFile(envFile, "utf8").catch(() => "");
  return parseLines(text);
}

export const parseLines = (text) =>
  Object.fromEntries([...text.matchAll(/^([A-Z0-9_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]));
