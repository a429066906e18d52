import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { KafkaSettings } from "../../src/adapters/kafka/kafka-settings.ts";
import { kafkaTransport } from "../../src/adapters/kafka/kafka-transport.ts";
import { memorySandboxes } from "../../src/adapters/memory/memory-sandboxes.ts";
import { loadConfig } from "../../src/app/config.ts";
import { openHouse } from "../../src/app/house.ts";
import type { Parts } from "../../src/executor/parts.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { kafkaEnvironment, kafkaSettings, plainClient } from "../support/kafka-ends.ts";
import { serviceUnderTest } from "../support/service-under-test.ts";
import { startKafka, startPostgres } from "../support/services.ts";
import { until } from "../support/until.ts";
import { type Figures, figures } from "./figures.ts";
import { type Bench, type Part, ratio } from "./part.ts";
import { startServing, withoutPool, withPool } from "./serving.ts";

const warmUpRounds = 5;
const warmBarMs = 20;
const readyCount = 2;
/** Of calls without a container, for each with one: they take so much less. */
const callsARound = 5;
const resultMs = 30_000;
/** After the last start of a sandbox, the engine still has something to do. */
const pauseMs = 150;

/** From a call that is sent to Kafka to its result that comes from there, one call at a time, in sandboxes made for it, in ready ones and in none. */
export const kafkaPart: Part = {
  name: "kafka",
  async measure(bench) {
    await using stack = new AsyncDisposableStack();
    const [kafka, postgres] = [stack.use(await startKafka()), stack.use(await startPostgres())];
    const opened = async (name: Sandboxes): Promise<Caller> => {
      // Of its own: whoever shares a database shares its tasks.
      const { url } = stack.use(await freshDatabase(postgres));
      return stack.use(await openCaller(bench, kafka.broker, url, name));
    };
    const [cold, warm, none] = [await opened("cold"), await opened("warm"), await opened("none")];
    const samples = { cold: [] as number[], warm: [] as number[], none: [] as number[] };
    for (let round = -warmUpRounds; round < bench.rounds; round += 1) {
      const coldMs = await cold.call();
      // The cold one's container is being taken down; that of the warm one was made while nothing was measured.
      await warm.settled();
      const warmMs = await warm.call();
      await warm.settled();
      const noneMs = [];
      for (let call = 0; call < callsARound; call += 1) noneMs.push(await none.call());
      if (round < 0) continue;
      samples.cold.push(coldMs);
      samples.warm.push(warmMs);
      samples.none.push(...noneMs);
    }
    const [withContainer, ready, without] = [figures(samples.cold), figures(samples.warm), figures(samples.none)];
    const verdicts = (name: string, { median, p99 }: Figures, atMost: number | null) => [
      { name: `${name}, p50`, value: median, unit: "ms", bar: atMost === null ? null : { atMost } },
      { name: `${name}, p99`, value: p99, unit: "ms", bar: null },
    ];
    return {
      conditions: {
        task: "true in the image shell under runc, one call at a time",
        broker: "Kafka in a container, one node, three partitions a topic, acks=all",
        store: "PostgreSQL in a container, synchronous_commit=on",
        executor: "a process of its own, as `toolx serve` starts it; without a sandbox in the bench's own",
        caller: "kafkajs in the bench's process",
      },
      tables: [
        {
          title: `milliseconds, call sent to result received, ${bench.rounds} interleaved rounds after ${warmUpRounds} to warm up`,
          rows: [
            ["a container made for each call", withContainer],
            ["one that stood ready", ready],
            ["sandboxes in memory: the orchestrator's own share, and Kafka's", without],
          ],
        },
      ],
      verdicts: [
        ...verdicts("Kafka to Kafka, cold", withContainer, null),
        ...verdicts("Kafka to Kafka, warm", ready, warmBarMs),
        ...verdicts("Kafka to Kafka, no sandbox", without, null),
        ratio("Kafka to Kafka, warm / no sandbox", ready.median / without.median, "less"),
      ],
    };
  },
};

const withoutEngine = (parts: Parts): Parts => ({
  ...parts,
  sandboxes: memorySandboxes(),
  images: { names: () => ["shell"], resolve: async (name) => ({ name, id: `sha256:${name}`, env: {} }) },
});

type Sandboxes = "cold" | "warm" | "none";

interface Caller extends AsyncDisposable {
  /** Milliseconds from the call to its result. */
  call(): Promise<number>;
  /** Waits until as many stand ready as are to. */
  settled(): Promise<void>;
}

/** Who takes the calls, on topics of its own. */
interface Service extends AsyncDisposable {
  settled(): Promise<void>;
  /** Why no result comes, as far as it is known here. */
  troubles(): string;
}

/** `toolx serve`, as it is started by anybody. */
async function served(bench: Bench, settings: KafkaSettings, databaseUrl: string, name: Sandboxes): Promise<Service> {
  const serving = await startServing(bench, name, {
    ...(name === "warm" ? withPool(readyCount, "shell") : withoutPool),
    DATABASE_URL: databaseUrl,
    ...kafkaEnvironment(settings.brokers.join(","), settings),
  });
  await until(
    "the service is in its group",
    async () => (await serving.ask("GET", "/readyz")).status === 200,
    resultMs,
  );
  return {
    settled: async () => (name === "warm" ? await serving.allReady(readyCount) : await sleep(pauseMs)),
    troubles: () => "the server answers that it is ready",
    [Symbol.asyncDispose]: () => serving[Symbol.asyncDispose](),
  };
}

/** The same line in this process, with sandboxes in memory: it has no setting for that. */
async function withoutSandbox(
  { checkout, env }: Bench,
  settings: KafkaSettings,
  databaseUrl: string,
): Promise<Service> {
  await using stack = new AsyncDisposableStack();
  const own = Object.fromEntries(
    ["TOOL_EXECUTOR_DATA", "SANDBOX_ROOT", "TOOL_EXECUTOR_RUNTIME_DIR"].map((each) => [
      each,
      join(env[each] ?? "", "none"),
    ]),
  );
  const house = stack.use(await openHouse(loadConfig(checkout, { ...env, ...own, DATABASE_URL: databaseUrl })));
  const transport = kafkaTransport(settings, () => undefined);
  const service = stack.use(serviceUnderTest({ ...house, parts: withoutEngine(house.parts) }, transport, 2, null));
  await until("the service is in its group", () => service.service.problem() === null, resultMs);
  const held = stack.move();
  return {
    settled: () => sleep(pauseMs),
    troubles: () => service.troubles.join("; "),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** A service with topics of its own, and who calls it. */
async function openCaller(bench: Bench, broker: string, databaseUrl: string, name: Sandboxes): Promise<Caller> {
  await using stack = new AsyncDisposableStack();
  const settings = kafkaSettings(broker);
  const opening =
    name === "none" ? withoutSandbox(bench, settings, databaseUrl) : served(bench, settings, databaseUrl, name);
  const service = stack.use(await opening);
  await service.settled();
  const client = plainClient(broker);
  const [producer, consumer] = [client.producer(), client.consumer({ groupId: `${settings.groupId}-caller` })];
  await Promise.all([producer.connect(), consumer.connect()]);
  stack.defer(async () => void (await Promise.all([producer.disconnect(), consumer.disconnect()])));
  const waiting = new Map<string, (value: string) => void>();
  await consumer.subscribe({ topic: settings.topics.results, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message }) => waiting.get(message.key?.toString() ?? "")?.(message.value?.toString() ?? ""),
  });
  let count = 0;
  const held = stack.move();
  return {
    settled: () => service.settled(),
    async call() {
      const task_id = `bench-${process.pid}-${count++}`;
      const value = JSON.stringify({ task_id, tenant_id: name, tool_name: "shell", payload: { argv: ["true"] } });
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      waiting.set(task_id, resolve);
      const timer = setTimeout(() => reject(new Error(`no result of ${task_id}: ${service.troubles()}`)), resultMs);
      const startedAt = performance.now();
      await producer.send({ topic: settings.topics.tools, messages: [{ key: name, value }] });
      const result = await promise;
      const tookMs = performance.now() - startedAt;
      clearTimeout(timer);
      waiting.delete(task_id);
      if (!result.includes('"reason":"ok"')) throw new Error(`a call ended otherwise: ${result}`);
      if (name !== "none" && result.includes('"warm":true') !== (name === "warm"))
        throw new Error(`a call meant to be ${name} was not: ${result}`);
      return tookMs;
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}
