import { Wait } from "testcontainers";
import { type Service, started } from "./services.ts";

/** What stands between a client and one port of a service. Every fault holds for open and new connections until `mend`. */
export interface Toxiproxy extends AsyncDisposable {
  /** Where the service is to be found through it; on `localhost`. */
  readonly port: number;
  /** Each answer comes this much later. */
  slow(latencyMs: number): Promise<void>;
  /** Connections stay open, and nothing goes through. */
  blackHole(): Promise<void>;
  /** What is sent arrives, and no answer comes. */
  swallowAnswers(): Promise<void>;
  /** Connections are cut off and refused. */
  cut(): Promise<void>;
  /** Bytes a second, in both directions. */
  throttle(bytesPerSecond: number): Promise<void>;
  mend(): Promise<void>;
}

const controlPort = 8474;
const servicePort = 20_000;

export async function startToxiproxy(service: Service, inside: number): Promise<Toxiproxy> {
  const proxy = await started("toxiproxy", [controlPort, servicePort], (container) =>
    container.withWaitStrategy(Wait.forHttp("/version", controlPort)),
  );
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const url = `http://localhost:${proxy.port(controlPort)}${path}`;
    const answer = await fetch(url, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    if (!answer.ok) throw new Error(`toxiproxy: ${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.status === 204 ? null : await answer.json();
  };
  const toxic = (type: string, stream: "upstream" | "downstream", attributes: object) =>
    call("POST", "/proxies/service/toxics", { type, stream, attributes });
  const upstream = `${service.container.getIpAddress("bridge")}:${inside}`;
  await call("POST", "/proxies", { name: "service", listen: `0.0.0.0:${servicePort}`, upstream, enabled: true });
  return {
    port: proxy.port(servicePort),
    async slow(latencyMs) {
      await toxic("latency", "downstream", { latency: latencyMs });
    },
    async blackHole() {
      // A timeout of 0 is none: what comes is thrown away, and nothing is closed.
      await toxic("timeout", "upstream", { timeout: 0 });
      await toxic("timeout", "downstream", { timeout: 0 });
    },
    async swallowAnswers() {
      await toxic("timeout", "downstream", { timeout: 0 });
    },
    async cut() {
      await call("POST", "/proxies/service", { enabled: false });
    },
    async throttle(bytesPerSecond) {
      const rate = Math.max(1, Math.round(bytesPerSecond / 1000));
      await toxic("bandwidth", "upstream", { rate });
      await toxic("bandwidth", "downstream", { rate });
    },
    async mend() {
      await call("POST", "/reset");
    },
    [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
  };
}
