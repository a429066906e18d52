import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { checkout, openCli } from "../support/cli.ts";
import { documentedCommands } from "../support/documented-commands.ts";
import { startServer } from "../support/server.ts";

test("the data folder's store is saved while a server runs, and brought back, by the commands of docs/operations.md", async () => {
  await using toolx = await openCli();
  const [save = "", restore = ""] = await documentedCommands("docs/operations.md", "SQLite");
  const shell = (commands: string): void => {
    const env = { ...toolx.env, CHECKOUT: checkout };
    const { status, stderr } = spawnSync("sh", ["-ec", commands], { cwd: toolx.workDir, env, encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  };
  const server = await startServer(toolx);
  const before = await toolx.result(["run", "shell", "--task-id", "t-before", "--", "echo kept"]);
  shell(save);
  await toolx.run(["run", "shell", "--task-id", "t-after", "--", "true"]);
  server.process.child.kill("SIGTERM");
  await server.process.ended();
  shell(restore);
  expect(await toolx.result(["get", "t-before"])).toEqual(before);
  expect(await toolx.run(["get", "t-after"])).toMatchObject({ code: 2 });
});
