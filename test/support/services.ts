import { GenericContainer, type StartedTestContainer, Wait } from "testcontainers";
import { testDocker } from "./bare-container.ts";
import { type ServiceName, serviceImage } from "./service-images.ts";

/** A real service in a container, on ports of the loopback. Gone after dispose, and some 10 s after a killed test run. */
export interface Service extends AsyncDisposable {
  readonly container: StartedTestContainer;
  /** Where a port of the container is to be found from here; always dialled as `localhost`. */
  port(inside: number): number;
}

export interface Postgres extends Service {
  readonly password: string;
  /** Of a database that is there from the start or was made by a test; TLS is offered, never demanded. */
  url(database?: string): string;
  /** The server's own certificate, made for `localhost`, in PEM. */
  certificate(): Promise<string>;
}

export interface S3Server extends Service {
  readonly url: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

/** @param settings of the server, such as `max_connections=20`. */
export async function startPostgres(...settings: readonly string[]): Promise<Postgres> {
  const password = "a secret of the tests";
  const service = await started("postgres", [5432], (container) =>
    container
      .withEnvironment({ POSTGRES_PASSWORD: password })
      .withCommand(settings.flatMap((setting) => ["-c", setting]))
      // It listens before it lets anybody in.
      .withWaitStrategy(Wait.forSuccessfulCommand("/usr/lib/postgresql/15/bin/pg_isready --quiet --host 127.0.0.1")),
  );
  return {
    ...service,
    password,
    url: (database = "postgres") =>
      `postgres://postgres:${encodeURIComponent(password)}@localhost:${service.port(5432)}/${database}`,
    certificate: () => printed(service.container, ["cat", "/data/pg/server.crt"]),
  };
}

export interface Redis extends Service {
  readonly url: string;
}

/** @param command in the place of the settings that our buffer asks for. */
export async function startRedis(...command: readonly string[]): Promise<Redis> {
  const service = await started("redis", [6379], (container) =>
    (command.length > 0 ? container.withCommand([...command]) : container).withWaitStrategy(Wait.forListeningPorts()),
  );
  return { ...service, url: `redis://localhost:${service.port(6379)}` };
}

export interface Kafka extends Service {
  readonly broker: string;
}

/** @param properties lines for the broker's settings. */
export async function startKafka(version: "kafka" | "kafka-3.9" = "kafka", properties = ""): Promise<Kafka> {
  return await startedKafka(version, properties, async () => []);
}

export interface ForkedKafka extends Kafka {
  /** The same broker through the proxy: whoever begins here is told to dial nothing else. */
  readonly proxied: string;
}

const [forkName, forkPort] = ["FORKED", 9094];
/** The broker's own, and one more. */
const forkProperties = `
listeners=OUTSIDE://0.0.0.0:9092,INSIDE://0.0.0.0:19092,CONTROLLER://127.0.0.1:9093,${forkName}://0.0.0.0:${forkPort}
listener.security.protocol.map=OUTSIDE:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,${forkName}:PLAINTEXT`;

/** A broker with two ways to it. @param proxyTo starts a proxy to a port of it, and answers with the proxy's. */
export async function startForkedKafka(
  proxyTo: (service: Service, inside: number) => Promise<number>,
): Promise<ForkedKafka> {
  let proxied = "";
  const kafka = await startedKafka("kafka", forkProperties, async (service) => {
    proxied = `localhost:${await proxyTo(service, forkPort)}`;
    return [`${forkName}://${proxied}`];
  });
  return { ...kafka, proxied };
}

/** @param further listeners beside the first, as clients are told to dial them. */
async function startedKafka(
  version: "kafka" | "kafka-3.9",
  properties: string,
  further: (service: Service) => Promise<readonly string[]>,
): Promise<Kafka> {
  const service = await started(version, [9092], (container) =>
    // Nothing listens before the broker is told what clients are to dial.
    container.withEnvironment({ KAFKA_PROPERTIES: properties }).withWaitStrategy(Wait.forSuccessfulCommand("true")),
  );
  try {
    const broker = `localhost:${service.port(9092)}`;
    const content = [broker, ...(await further(service))].join(",");
    await service.container.copyContentToContainer([{ content, target: "/tmp/advertised", mode: 0o644 }]);
    const listening = "until (exec 3<>/dev/tcp/127.0.0.1/9092) 2>/dev/null; do sleep 0.1; done";
    await printed(service.container, ["timeout", "60", "bash", "-c", listening]);
    return { ...service, broker };
  } catch (error) {
    await service[Symbol.asyncDispose]();
    throw error;
  }
}

export async function startMinio(): Promise<S3Server> {
  const [accessKey, secretKey] = ["test-access", "a-secret-of-the-tests"];
  const service = await started("minio", [9000], (container) =>
    container
      .withEnvironment({ MINIO_ROOT_USER: accessKey, MINIO_ROOT_PASSWORD: secretKey })
      .withWaitStrategy(Wait.forHttp("/minio/health/ready", 9000)),
  );
  return { ...service, accessKey, secretKey, url: `http://localhost:${service.port(9000)}` };
}

export async function startVersitygw(): Promise<S3Server> {
  const [accessKey, secretKey] = ["test-access", "a-secret-of-the-tests"];
  const service = await started("versitygw", [7070], (container) =>
    container
      .withEnvironment({ ROOT_ACCESS_KEY_ID: accessKey, ROOT_SECRET_ACCESS_KEY: secretKey })
      .withWaitStrategy(Wait.forHttp("/health", 7070)),
  );
  return { ...service, accessKey, secretKey, url: `http://localhost:${service.port(7070)}` };
}

export interface Loki extends Service {
  readonly url: string;
}

export async function startLoki(): Promise<Loki> {
  const service = await started("loki", [3100], (container) =>
    container.withWaitStrategy(Wait.forHttp("/ready", 3100)),
  );
  return { ...service, url: `http://localhost:${service.port(3100)}` };
}

export interface Openbao extends Service {
  readonly url: string;
  /** With it everything may be done. */
  readonly rootToken: string;
}

/** Unsealed, with a KV engine of version 2 at `secret`, in memory. */
export async function startOpenbao(): Promise<Openbao> {
  const rootToken = "a-secret-of-the-tests";
  const service = await started("openbao", [8200], (container) =>
    container
      .withEnvironment({ BAO_DEV_ROOT_TOKEN_ID: rootToken })
      .withWaitStrategy(Wait.forHttp("/v1/secret/config", 8200).withHeaders({ "X-Vault-Token": rootToken })),
  );
  return { ...service, rootToken, url: `http://localhost:${service.port(8200)}` };
}

const startupMs = 90_000;

/**
 * Starts one container, and the reaper of this run before the first.
 * @throws Error naming the service, with the end of what it printed; ExecutorError image when its image is not built.
 */
export async function started(
  name: ServiceName,
  ports: readonly number[],
  prepare: (container: GenericContainer) => GenericContainer,
): Promise<Service> {
  const docker = testDocker();
  const signal = new AbortController().signal;
  const [image, reaper] = [await serviceImage(docker, name, signal), await serviceImage(docker, "reaper", signal)];
  process.env.RYUK_CONTAINER_IMAGE = reaper;
  // Other runs on this engine have their own: with a shared one, what a killed run left would stay until the last had ended.
  process.env.TESTCONTAINERS_RYUK_TEST_LABEL = "true";
  process.env.TESTCONTAINERS_HOST_OVERRIDE = "localhost";
  let log = "";
  const container = await prepare(new LoopbackContainer(image).withExposedPorts(...ports))
    .withStartupTimeout(startupMs)
    .withLogConsumer((stream) => {
      stream.on("data", (chunk: Buffer) => {
        log = (log + chunk.toString()).slice(-4096);
      });
    })
    .start()
    .catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`the service ${name} (${image}) did not start: ${why}\n${log}`, { cause });
    });
  return {
    container,
    port: (inside) => container.getMappedPort(inside),
    async [Symbol.asyncDispose]() {
      await container.stop({ timeout: 0 });
    },
  };
}

/** Its ports are on the loopback alone: passwords of tests are no secret. */
class LoopbackContainer extends GenericContainer {
  protected override async beforeContainerCreated(): Promise<void> {
    const bindings: Record<string, readonly { HostPort?: string }[]> = this.hostConfig.PortBindings ?? {};
    this.hostConfig.PortBindings = Object.fromEntries(
      Object.entries(bindings).map(([port, each]) => [port, each.map((one) => ({ ...one, HostIp: "127.0.0.1" }))]),
    );
  }
}

/** What a command in the container prints. @throws when it does not exit with 0. */
async function printed(container: StartedTestContainer, command: readonly string[]): Promise<string> {
  const { exitCode, output } = await container.exec([...command]);
  if (exitCode !== 0) throw new Error(`${command.join(" ")} exited with ${exitCode}: ${output}`);
  return output;
}
