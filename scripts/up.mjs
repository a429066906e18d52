// `npm run up`: the set-up, then the executor with Kafka, PostgreSQL, Redis, S3 and Loki beside it, from compose.yaml.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { compose, noteEnvironment, parseLines, requireCompose, stackName } from "./compose.mjs";
import { pinnedNode } from "./packages.mjs";
import { setup } from "./setup.mjs";
import { asProgram, checkout, output, SetupError, tell } from "./step.mjs";

const readyMs = 120_000;
const [httpPort, kafkaPort] = [process.env.EXECUTOR_PORT ?? "7117", process.env.KAFKA_PORT ?? "9092"];

await asProgram(async () => {
  await setup();
  const program = await requireCompose();
  tell("picking the images");
  const picking = ["--disable-warning=ExperimentalWarning", join(checkout, "deploy/stack-images.ts")];
  const images = await output(pinnedNode, picking, true);
  if (images === null) throw new SetupError("the images of the stack could not be had; what is missing stands above");
  await noteEnvironment(parseLines(images));
  await compose(program, ["up", "--detach", "--remove-orphans"]);
  await untilReady();
  process.stdout.write(`
The stack "${stackName}" is up.

  executor  http://localhost:${httpPort} (API: /docs, figures: /metrics)
            key: docker exec ${await executorContainer()} cat /data/first-key
  Kafka     localhost:${kafkaPort}: KAFKA_BROKERS=localhost:${kafkaPort} node_modules/.bin/node examples/kafka/call.ts
  inside    postgres:5432, redis:6379, minio:9000, loki:3100, kafka:19092
  end it    npm run down (the data stay; npm run down -- --volumes takes them too)
`);
  return 0;
});

async function executorContainer() {
  const filters = ["--filter", `label=com.docker.compose.project=${stackName}`];
  const one = ["--filter", "label=com.docker.compose.service=executor", "--format", "{{.Names}}"];
  return ((await output("docker", ["ps", ...filters, ...one])) ?? "").trim();
}

async function untilReady() {
  tell("waiting for the executor");
  const endsAt = Date.now() + readyMs;
  for (let last = "no answer"; ; ) {
    try {
      const answer = await fetch(`http://localhost:${httpPort}/readyz`);
      if (answer.ok) return;
      last = await answer.text();
    } catch (error) {
      last = error.cause?.code ?? error.message;
    }
    if (Date.now() > endsAt)
      throw new SetupError(`the executor is not ready after ${readyMs / 1000} s: ${last}
Look at: docker logs ${await executorContainer()}`);
    await sleep(500);
  }
}
