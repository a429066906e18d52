import { readdir } from "node:fs/promises";
import { expect, test } from "vitest";
import { openCli, printed } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { emptyDatabase } from "../support/fresh-database.ts";
import { startPostgres } from "../support/services.ts";

const postgres = forThisFile(startPostgres);

test("with DATABASE_URL set, tasks are kept in the database, and every command finds them there", async () => {
  await using database = await emptyDatabase(postgres());
  await using toolx = await openCli();
  const env = { DATABASE_URL: database.url };

  const unmigrated = await toolx.run(["run", "shell", "--", "true"], { env });
  expect(unmigrated).toMatchObject({ code: 125, stdout: "" });
  expect(unmigrated.stderr).toContain("hint: toolx migrate");
  expect((await toolx.run(["migrate"], { env })).stderr).toContain("schema 0 → ");
  expect((await toolx.run(["migrate"], { env })).stderr).toContain("nothing to do");

  const first = ["run", "shell", "--task-id", "t-1", "--", "echo hi; echo 1 > /output/one"];
  const result = await toolx.result(first, { env });
  expect(result).toMatchObject({ status: "success", output: { stdout: "hi\n" } });
  const again = await toolx.run([...first.slice(0, 4), "-o", "json", ...first.slice(4)], { env });
  expect(JSON.parse(again.stdout)).toEqual(result);
  expect(JSON.parse((await toolx.run(["get", "t-1", "-o", "json"], { env })).stdout)).toMatchObject({ reason: "ok" });
  expect((await toolx.run(["artifacts", "ls", "t-1"], { env })).stdout).toContain("one");

  const long = toolx.start(["run", "shell", "--task-id", "t-2", "--", "echo up; sleep 60"], { env });
  await printed(long, "up");
  expect((await toolx.run(["ps"], { env })).stdout).toContain("t-2");
  expect((await toolx.run(["cancel", "t-2"], { env })).code).toBe(0);
  expect((await long.ended()).code).toBe(130);

  const lost = toolx.start(["run", "shell", "--task-id", "t-3", "--", "echo up; sleep 60"], { env });
  await printed(lost, "up");
  lost.child.kill("SIGKILL");
  await lost.ended();
  expect((await toolx.run(["gc"], { env })).stderr).toContain("lost tasks ended: 1");

  const { rows } = await database.client.query("select task_id, state, reason from tasks order by id");
  expect(rows).toEqual([
    { task_id: "t-1", state: "FINISHED", reason: "ok" },
    { task_id: "t-2", state: "FINISHED", reason: "cancelled" },
    { task_id: "t-3", state: "FINISHED", reason: "worker_lost" },
  ]);
  expect(await readdir(toolx.dataDir)).not.toContain("tasks.db");
  expect(await toolx.leftovers()).toEqual([]);
});

test("a database that is away is one message, and the password is in none", async () => {
  await using toolx = await openCli();
  const env = { DATABASE_URL: "postgres://me:hunter2@localhost:1/db", LOG_LEVEL: "trace" };
  const ends = [
    await toolx.run(["run", "shell", "--", "true"], { env }),
    await toolx.run(["ps"], { env }),
    await toolx.run(["migrate"], { env }),
  ];
  for (const { code, stderr } of ends) {
    expect(code).toBe(125);
    expect(stderr).toContain("task store localhost:1/db: it cannot be reached");
  }
  ends.push(await toolx.run(["config", "show", "-o", "json"], { env }));
  ends.push(await toolx.run(["ps"], { env: { DATABASE_URL: "postgres://me:hunter2@host" } }));
  expect(ends.map(({ stdout, stderr }) => stdout + stderr).join("")).not.toContain("hunter2");
});

test("without a database there is nothing to migrate, and migrate says so", async () => {
  await using toolx = await openCli();
  expect(await toolx.run(["migrate"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("DATABASE_URL is not set"),
  });
});
