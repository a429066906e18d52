import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Dockerode from "dockerode";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultEngineDeadlines, engine } from "../../../../src/adapters/docker/engine.ts";

const id = "0123456789abcdef";
const folder = mkdtempSync(join(tmpdir(), "engine-"));
const socketPath = join(folder, "docker.sock");
/** What an engine does with a request for events. */
let answer: (response: ServerResponse, url: URL) => void = () => undefined;
const server = createServer((request, response) => answer(response, new URL(request.url ?? "", "http://engine")));
const { toldOom } = engine(new Dockerode({ socketPath }), defaultEngineDeadlines);

beforeAll(() => new Promise<void>((resolve) => server.listen(socketPath, resolve)));
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true });
});

describe("that memory ran out in a container", () => {
  test("is asked of this container alone, and of what the engine remembers", async () => {
    const asked: URLSearchParams[] = [];
    answer = (response, { searchParams }) => {
      asked.push(searchParams);
      response.end('{"Action":"oom"}\n');
    };
    expect(await toldOom(id, 5000)).toBe(true);
    expect(asked.map((one) => [one.get("since"), JSON.parse(one.get("filters") ?? "")])).toEqual([
      ["0", { container: [id], event: ["oom"] }],
    ]);
  });

  test("is believed when the engine says it late, on a stream that stays open", async () => {
    answer = (response) => {
      response.flushHeaders();
      setImmediate(() => response.write('{"Action":"oom"}\n'));
    };
    expect(await toldOom(id, 5000)).toBe(true);
  });

  test.each<[string, typeof answer]>([
    ["says nothing", (response) => response.flushHeaders()],
    ["does not answer", () => undefined],
    ["answers with an error", (response) => response.writeHead(500).end("{}")],
    ["knows of no such event", (response) => response.end()],
  ])("is not believed of an engine that %s", async (_name, act) => {
    answer = act;
    expect(await toldOom(id, 100)).toBe(false);
  });
});
