import { expect, test } from "vitest";
import { openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { startServer } from "../support/server.ts";
import { startKafka, startPostgres } from "../support/services.ts";
import { startToxiproxy } from "../support/toxiproxy.ts";

const postgres = forThisFile(startPostgres);
const broker = forThisFile(() => startKafka());

test("while the database is silent, metrics are there within 5 s and say so, and afterwards the server is ready again", async () => {
  await using database = await freshDatabase(postgres());
  await using proxy = await startToxiproxy(postgres(), 5432);
  await using toolx = await openCli();
  const through = new URL(database.url);
  through.port = String(proxy.port);
  const server = await startServer(toolx, { DATABASE_URL: through.href, KAFKA_BROKERS: broker().broker });
  const scraped = async (): Promise<string> => {
    const startedAt = performance.now();
    const { body } = await server.ask("/metrics");
    expect(performance.now() - startedAt).toBeLessThan(5000);
    return body.toString();
  };
  await proxy.blackHole();
  const text = await scraped();
  expect(text).toContain('tool_executor_missing{name="store"} 1');
  expect(text).toContain("tool_executor_ready 0");
  expect(text).toContain("tool_executor_outbox_age_seconds");
  await proxy.mend();
  await expect.poll(async () => (await server.ask("/readyz")).status, { timeout: 60_000 }).toBe(200);
  expect(await scraped()).not.toContain('name="store"');
  server.process.child.kill("SIGTERM");
  expect(await server.process.ended()).toMatchObject({ code: 0 });
  expect(await toolx.leftovers()).toEqual([]);
});
