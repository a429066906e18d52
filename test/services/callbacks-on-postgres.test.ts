import { expect, test } from "vitest";
import { migrateDatabase } from "../../src/adapters/postgres/schema.ts";
import { openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { emptyDatabase } from "../support/fresh-database.ts";
import { receiver } from "../support/receiver.ts";
import { never } from "../support/samples.ts";
import { shellCall, startServer } from "../support/server.ts";
import { startPostgres } from "../support/services.ts";
import { until } from "../support/until.ts";

const postgres = forThisFile(startPostgres);

test("two servers on one database tell of each task once, also when the one that ran it is killed; letters are replayed by either", async () => {
  await using database = await emptyDatabase(postgres());
  await migrateDatabase(database.address, never());
  let isDown = true;
  await using other = await receiver((response) => void response.writeHead(isDown ? 503 : 204).end());
  await using one = await openCli();
  await using two = await openCli();
  const settings = {
    DATABASE_URL: database.url,
    TOOL_EXECUTOR_CALLBACK_HOSTS: `${other.url}=127.0.0.0/8`,
    TOOL_EXECUTOR_CALLBACK_SECRET: `whsec_${Buffer.alloc(32, 4).toString("base64")}`,
    TOOL_EXECUTOR_CALLBACK_TRIES: "3",
    TOOL_EXECUTOR_DRAIN_SECONDS: "0",
  };
  const [first, second] = [await startServer(one, settings), await startServer(two, settings)];
  const ids = Array.from({ length: 6 }, (_, index) => `t-${index}`);
  await Promise.all(ids.map((id) => first.submit(shellCall(id, `echo ${id}`, { callback_url: other.url }), "60s")));
  await until("each was tried", () => new Set(other.received.map(idOf)).size === ids.length, 30_000);
  first.process.child.kill("SIGKILL");
  await first.process.ended();
  isDown = false;
  const count = other.received.length;
  const told = (): readonly string[] => other.received.slice(count).map(idOf);
  await until("each is told", () => new Set(told()).size === ids.length, 60_000);
  expect([...told()].sort()).toEqual(ids.map((id) => `default/${id}`));
  for (const id of ids) {
    const bodies = other.received.filter((each) => idOf(each) === `default/${id}`).map(({ body }) => body.toString());
    expect(new Set(bodies)).toEqual(new Set([(await second.ask(`/v1/tasks/${id}`)).body.toString()]));
  }

  isDown = true;
  await second.submit(shellCall("t-dead", "true", { callback_url: other.url }), "60s");
  const letters = async () =>
    JSON.parse((await second.ask("/v1/dead_letters")).body.toString()).dead_letters as readonly {
      readonly id: number;
    }[];
  await until("it is given up", async () => (await letters()).length === 1, 30_000);
  isDown = false;
  const [letter] = await letters();
  const { stdout } = await two.run(["dlq", "replay", String(letter?.id)]);
  expect(stdout).toContain("callback");
  await until(
    "it is told",
    async () => other.received.filter((each) => idOf(each) === "default/t-dead").length === 4,
    15_000,
  );
  expect(await letters()).toEqual([]);
  second.process.child.kill("SIGTERM");
  expect((await second.process.ended()).code).toBe(0);
});

const idOf = ({ headers }: { readonly headers: object }): string =>
  String((headers as Readonly<Record<string, unknown>>)["webhook-id"]);
