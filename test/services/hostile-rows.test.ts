import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { Client } from "minio";
import { beforeAll, describe, expect, test } from "vitest";
import { openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { startMinio, startPostgres } from "../support/services.ts";

const postgres = forThisFile(startPostgres);
const server = forThisFile(startMinio);
const bucket = "tools";
let s3: Client;

beforeAll(async () => {
  const { url, accessKey, secretKey } = server();
  const { hostname, port } = new URL(url);
  s3 = new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
  await s3.makeBucket(bucket);
});

const s3Settings = (): Readonly<Record<string, string>> => ({
  S3_ENDPOINT: server().url,
  S3_BUCKET: bucket,
  S3_ACCESS_KEY: server().accessKey,
  S3_SECRET_KEY: server().secretKey,
});

describe("D4 on Postgres, which takes no NUL in a text", () => {
  test.each([
    ["in the output", "printf 'a\\0b'; printf 'c\\0d' >&2", { stdout: "a\0b", stderr: "c\0d", value: null }],
    ["in a value", `printf '{"a\\\\u0000b":"\\\\u0000"}' >/output/result.json`, { value: { "a\0b": "\0" } }],
    ["beside bytes that are no UTF-8", "printf '\\0\\377'", { stdout: "AP8=", stdout_encoding: "base64" }],
  ])("%s", async (_where, command, output) => {
    await using database = await freshDatabase(postgres());
    await using toolx = await openCli();
    const env = { DATABASE_URL: database.url };
    const result = await toolx.result(["run", "shell", "--task-id", "t", "--", command], { env });
    expect(result).toMatchObject({ reason: "ok", output });
    expect(JSON.parse((await toolx.run(["get", "t", "-o", "json"], { env })).stdout)).toEqual(result);
    const { rows } = await database.client.query("select state, reason from tasks");
    expect(rows).toEqual([{ state: "FINISHED", reason: "ok" }]);
  });

  test("in the request: refused, and no row is left", async () => {
    await using database = await freshDatabase(postgres());
    await using toolx = await openCli();
    const payload = JSON.stringify({ command: "echo 'a\0b'" });
    const { code, stderr } = await toolx.run(["run", "shell", "--payload", payload], {
      env: { DATABASE_URL: database.url },
    });
    expect([code, stderr]).toEqual([2, expect.stringContaining("NUL")]);
    expect((await database.client.query("select from tasks")).rowCount).toBe(0);
  });
});

/** A task with two files, whose objects in the bucket are changed before they are pulled. */
async function pulledAfter(taskId: string, change: (prefix: string) => Promise<void>) {
  const toolx = await openCli();
  const env = s3Settings();
  const run = ["run", "shell", "--task-id", taskId, "--", "cd /output; echo first >a; echo second >b"];
  expect(await toolx.run(run, { env })).toMatchObject({ code: 0 });
  await change(`tasks/default/${taskId}`);
  const end = await toolx.run(["artifacts", "pull", taskId, "--out", "out"], { env });
  const file = (name: string): Promise<string | null> =>
    readFile(join(toolx.workDir, "out", name), "utf8").catch(() => null);
  return { ...end, a: await file("a"), b: await file("b"), [Symbol.asyncDispose]: () => toolx[Symbol.asyncDispose]() };
}

describe("E24 on S3: the store answers with something else than was kept", () => {
  test("one bit of a file", async () => {
    await using end = await pulledAfter("bit", async (prefix) => {
      const name = `${prefix}/1/artifacts.tar`;
      const bytes = await buffer(await s3.getObject(bucket, name));
      const at = bytes.indexOf("second");
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await s3.putObject(bucket, name, bytes);
    });
    expect(end).toMatchObject({ a: "first\n", b: null });
    expect([end.code, end.stderr]).toEqual([
      125,
      expect.stringMatching(/"b" is damaged in the object store: its sha256/),
    ]);
  });

  test.each(["artifacts.tar", "manifest.json"])("nothing: %s was deleted", async (name) => {
    const taskId = name.replace(".", "-");
    await using end = await pulledAfter(taskId, (prefix) => s3.removeObject(bucket, `${prefix}/1/${name}`));
    expect(end).toMatchObject({ a: null, b: null });
    expect([end.code, end.stderr]).toEqual([125, expect.stringContaining(`${name} is gone from the object store`)]);
  });
});

test("E25 what another attempt uploaded is not seen: keys carry the attempt, and the result names one", async () => {
  await using end = await pulledAfter("twice", async (prefix) => {
    for (const name of ["artifacts.tar", "manifest.json"]) {
      const bytes = await buffer(await s3.getObject(bucket, `${prefix}/1/${name}`));
      const other = Buffer.from(bytes.toString("latin1").replace("first", "FIRST"), "latin1");
      for (const attempt of [0, 2]) await s3.putObject(bucket, `${prefix}/${attempt}/${name}`, other);
    }
  });
  expect(end).toMatchObject({ code: 0, a: "first\n", b: "second\n" });
});
