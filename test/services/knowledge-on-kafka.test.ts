import { expect, test } from "vitest";
import type { Result } from "../../src/model/result.ts";
import { openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { emptyDatabase } from "../support/fresh-database.ts";
import { kafkaEnds, kafkaEnvironment } from "../support/kafka-ends.ts";
import { realDocs, realQueries } from "../support/knowledge-ground.ts";
import { startServer, stopServer } from "../support/server.ts";
import { startKafka, startPostgres } from "../support/services.ts";
import { until } from "../support/until.ts";

const broker = forThisFile(() => startKafka());
const postgres = forThisFile(startPostgres);

test("a call of knowledge_base over Kafka is answered from the database there, for its tenant alone", async () => {
  await using database = await emptyDatabase(postgres());
  await using toolx = await openCli();
  await using ends = await kafkaEnds(broker().broker);
  const { settings } = ends;
  const env = { DATABASE_URL: database.url };
  expect(await toolx.run(["migrate"], { env })).toMatchObject({ code: 0 });
  const imported = await toolx.run(["knowledge", "import", realDocs, "--tenant", "acme"], { env });
  expect(imported).toMatchObject({ code: 0, stderr: expect.stringMatching(/added 4\d/) });
  const server = await startServer(toolx, {
    ...env,
    ...kafkaEnvironment(broker().broker, settings),
  });
  await until("it is in its group", async () => (await server.ask("/readyz")).status === 200, 60_000);
  const asked = async (taskId: string, tenant: string, query: string): Promise<Result> => {
    const call = { task_id: taskId, tenant_id: tenant, tool_name: "knowledge_base", payload: { query, limit: 3 } };
    await ends.offer("tools", { key: tenant, value: JSON.stringify(call) });
    const sent = await until(
      `the result of ${taskId}`,
      async () => (await ends.sent("results")).find(({ key }) => key?.toString() === taskId) ?? null,
      60_000,
    );
    return JSON.parse(sent.value?.toString() ?? "");
  };
  for (const [index, [query, path]] of realQueries.slice(0, 3).entries()) {
    const { output } = await asked(`t-${index}`, "acme", query);
    expect(output.value, query).toMatchObject({ answers: expect.arrayContaining([expect.objectContaining({ path })]) });
  }
  const [[query = ""] = []] = realQueries;
  expect((await asked("t-other", "other", query)).output.value).toMatchObject({ matched: "none", answers: [] });
  await stopServer(server);
  expect(await toolx.leftovers()).toEqual([]);
});
