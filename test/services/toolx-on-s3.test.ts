import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { Client } from "minio";
import { expect, test } from "vitest";
import { openCli } from "../support/cli.ts";
import { startMinio } from "../support/services.ts";

test("with S3_ENDPOINT set, files, artifacts and logs are kept in the bucket, and are found there by another machine", async () => {
  await using server = await startMinio();
  const { hostname, port } = new URL(server.url);
  const { accessKey, secretKey } = server;
  const s3 = new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
  await s3.makeBucket("tools");
  await using toolx = await openCli();
  const env = { S3_ENDPOINT: server.url, S3_BUCKET: "tools", S3_ACCESS_KEY: accessKey, S3_SECRET_KEY: secretKey };

  const command = "cat /workspace/in > /output/out; head -c 20M /dev/urandom | tee /output/noise | sha256sum";
  const run = ["run", "shell", "--task-id", "t-1", "--file", `${join(import.meta.dirname, "README.md")}:in`];
  const { output } = await toolx.result([...run, "--", command], { env });
  const sha256 = output.stdout.slice(0, 64);
  expect(output.artifacts.find(({ path }) => path === "noise")).toMatchObject({ sha256, size_bytes: 20 * 1024 * 1024 });

  expect((await toolx.run(["artifacts", "pull", "t-1", "--out", "pulled"], { env })).code).toBe(0);
  const [noise, out] = await Promise.all(["noise", "out"].map((name) => readFile(join(toolx.workDir, "pulled", name))));
  expect(
    createHash("sha256")
      .update(noise ?? "")
      .digest("hex"),
  ).toBe(sha256);
  expect(out).toEqual(await readFile(join(import.meta.dirname, "README.md")));
  expect((await toolx.run(["logs", "t-1"], { env })).stdout).toContain(sha256);

  const tar = await buffer(await s3.getObject("tools", output.artifacts_object ?? ""));
  expect(tar.includes(noise ?? "nothing")).toBe(true);
  expect(await readdir(toolx.dataDir)).not.toContain("objects");
  expect(await toolx.leftovers()).toEqual([]);
});

test("a server that is away ends the task as internal, with a message that names it and no key", async () => {
  await using toolx = await openCli();
  const keys = { S3_ACCESS_KEY: "me", S3_SECRET_KEY: "hunter2-hunter2" };
  const env = { S3_ENDPOINT: "http://localhost:1", S3_BUCKET: "tools", ...keys };
  const { code, stderr } = await toolx.run(["run", "shell", "--", "echo > /output/x"], { env });
  expect(code).toBe(125);
  expect(stderr).toContain("in the object store http://localhost:1/tools: it cannot be reached");
  expect(stderr).not.toContain("hunter2");
  expect(await toolx.leftovers()).toEqual([]);
});
