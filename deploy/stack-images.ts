// Prints the images of compose.yaml as NAME=VALUE lines: those that the environment names, otherwise published ones where a registry
// answers (STACK_IMAGES=published or built decides it). The executor's own is always built.
import { join } from "node:path";
import { loadConfig } from "../src/app/config.ts";
import { dockerAt } from "../src/app/house.ts";
import { ExecutorError } from "../src/model/failure.ts";
import { buildService, type ServiceName, serviceImage } from "../test/support/service-images.ts";
import { executorImage } from "./executor-image.ts";

const checkout = join(import.meta.dirname, "..");
const services: readonly ServiceName[] = ["redis", "postgres", "kafka", "minio", "loki"];
/** What differs inside. */
const built: Readonly<Record<string, string>> = { KAFKA_DATA: "/data", POSTGRES_DATA: "/data", LOKI_DATA: "/data" };
const pullMs = 60_000;

const tell = (message: string): void => void process.stderr.write(`images   ${message}\n`);
const signal = new AbortController().signal;
const config = loadConfig(checkout);
const docker = dockerAt(config.dockerHost);

try {
  const { EXECUTOR_IMAGE } = process.env;
  print("EXECUTOR_IMAGE", EXECUTOR_IMAGE ?? (await executorImage(docker, checkout, config, tell, signal)));
  if (await mustBuild()) {
    tell("the services' images are built here");
    for (const [name, value] of Object.entries(built)) print(name, value);
    for (const name of services) {
      const variable = `${name.toUpperCase()}_IMAGE`;
      if (process.env[variable]) continue;
      await buildService(name, (message) => tell(`${name}: ${message}`), signal);
      print(variable, await serviceImage(docker, name, signal));
    }
  }
} catch (error) {
  if (!(error instanceof ExecutorError)) throw error;
  tell(error.message);
  if (error.hint !== null) tell(`hint: ${error.hint}`);
  process.exitCode = 1;
}

function print(name: string, value: string): void {
  process.stdout.write(`${name}=${value}\n`);
}

/** The smallest of the published ones is tried. */
async function mustBuild(): Promise<boolean> {
  const wish = process.env.STACK_IMAGES ?? "";
  if (!["", "built", "published"].includes(wish))
    throw new ExecutorError("validation", `STACK_IMAGES is "${wish}"; allowed are built and published`);
  if (wish !== "") return wish === "built";
  try {
    const pull = await docker.pull("redis:7-bookworm", { abortSignal: AbortSignal.timeout(pullMs) });
    const failure = await new Promise<Error | null>((resolve) => docker.modem.followProgress(pull, resolve));
    return failure !== null;
  } catch {
    return true;
  }
}
