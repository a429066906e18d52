import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable, Writable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runCli } from "../../../src/cli/program.ts";
import { checkout } from "../../support/cli.ts";
import { realDocs } from "../../support/knowledge-ground.ts";
import { never } from "../../support/samples.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "knowledge-"));
});
afterEach(() => rm(folder, { recursive: true }));

function sink(): { readonly stream: Writable; text(): string } {
  let all = "";
  const stream = new Writable({
    write(chunk, _encoding, done) {
      all += String(chunk);
      done();
    },
  });
  return { stream, text: () => all };
}

async function toolx(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const [stdout, stderr] = [sink(), sink()];
  const io = {
    stdin: Readable.from([]),
    stdout: stdout.stream,
    stderr: stderr.stream,
    cwd: folder,
    interrupt: never(),
  };
  const code = await runCli(args, {
    io: { ...io, env: { TOOL_EXECUTOR_DATA: join(folder, "data"), ...env } },
    programDir: checkout,
  });
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

const knowledge = (...args: readonly string[]) => toolx(["knowledge", ...args]);
const json = async (...args: readonly string[]) =>
  (await knowledge(...args, "-o", "json")).stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

async function put(path: string, bytes: string | Uint8Array): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), bytes);
}

describe("toolx knowledge import", () => {
  test("takes in a folder, and once more only what has changed", async () => {
    await put("docs/a.md", "# A\n\nrain");
    await put("docs/deep/b.txt", "snow");
    await put("docs/c.jsonl", '{"id": "x", "text": "hail"}\n');
    await put("docs/picture.png", "");
    expect(await knowledge("import", "docs", "--tag", "weather")).toEqual({
      ...{ code: 0, stdout: "" },
      stderr: "knowledge  added 3 · changed 0 · unchanged 0 · refused 0 · passed over 1\n",
    });
    await put("docs/a.md", "# A\n\nwind");
    await put("docs/d.md", "sun");
    expect((await knowledge("import", "docs", "--tag", "weather")).stderr).toBe(
      "knowledge  added 1 · changed 1 · unchanged 2 · refused 0 · passed over 1\n",
    );
    expect(await json("ls", "default")).toMatchObject([
      { path: "a.md", title: "A", tags: ["weather"], passages: 1, source: join(folder, "docs") },
      { path: "c.jsonl#x" },
      { path: "d.md" },
      { path: "deep/b.txt", title: "b" },
    ]);
  });

  test("names what it cannot take, takes the others, and ends with 1", async () => {
    await put("docs/a.md", "rain");
    await put("docs/b.md", Buffer.from([0xff, 0xfe]));
    await put("docs/c\u001b[2J.md", "");
    const end = await knowledge("import", "docs", "-o", "json");
    expect(end.code).toBe(1);
    expect(JSON.parse(end.stdout)).toEqual({
      ...{ added: 1, changed: 0, unchanged: 0, removed: 0, passed_over: 0 },
      refused: [
        { path: "b.md", why: "is no UTF-8" },
        { path: "c\u001b[2J.md", why: "has no text" },
      ],
    });
    expect(end.stderr).toBe('refused  "b.md" is no UTF-8\nrefused  "c\\u001b[2J.md" has no text\n');
  });

  test("follows no link in a folder, and looks at nothing hidden", async () => {
    await put("outside/a.md", "rain");
    await put("docs/.git/b.md", "snow");
    await put("docs/c.md", "hail");
    await symlink(join(folder, "outside"), join(folder, "docs/linked"));
    await symlink(join(folder, "outside/a.md"), join(folder, "docs/linked.md"));
    expect((await knowledge("import", "docs")).stderr).toContain(
      "added 1 · changed 0 · unchanged 0 · refused 0 · passed over 2",
    );
    expect(await json("ls", "default")).toMatchObject([{ path: "c.md" }]);
  });

  test("with --prune takes away what is gone from that folder, and nothing that came from elsewhere or is spoilt", async () => {
    for (const path of ["docs/a.md", "docs/b.md", "other/c.md"]) await put(path, "rain");
    await put("docs/d.jsonl", '{"id": "x", "text": "hail"}\n');
    await knowledge("import", "docs", "other");
    await rm(join(folder, "docs/a.md"));
    await put("docs/b.md", Buffer.from([0xff]));
    await put("docs/d.jsonl", "{");
    expect((await knowledge("import", "docs")).stderr).not.toContain("removed");
    expect((await knowledge("import", "docs", "--prune")).stderr).toContain(
      "knowledge  added 0 · changed 0 · unchanged 0 · removed 1 · refused 2\n",
    );
    expect(await json("ls", "default")).toMatchObject([{ path: "b.md" }, { path: "c.md" }, { path: "d.jsonl#x" }]);
  });

  test.each([
    ["nothing", [], /missing required argument 'sources'/],
    ["what is not there", ["nowhere"], /validation: source: nowhere: there is no such file/],
    ["a file of no known kind", ["a.bin"], /source is "a\.bin"; allowed: a folder, or a file that ends in \.md/],
    ["a bad collection", ["a.md", "--collection", "../x"], /--collection is "\.\.\/x"; allowed: 1 to 63/],
    ["a bad tag", ["a.md", "--tag", ""], /--tag is ""; allowed: 1 to 63/],
    ["a bad tenant", ["a.md", "--tenant", "a b"], /--tenant is "a b"; allowed/],
    ["two files of one path", ["a.md", "x/a.md"], /would both be the document a\.md/],
  ])("of %s is refused, with what is allowed", async (_what, args, message) => {
    for (const path of ["a.md", "x/a.md", "a.bin"]) await put(path, "rain");
    const end = await knowledge("import", ...args);
    expect(end).toMatchObject({ code: 2, stdout: "" });
    expect(end.stderr).toMatch(message);
    expect(await json("ls")).toEqual([]);
  });

  test("for a server elsewhere is refused: the documents would not be there", async () => {
    await put("a.md", "rain");
    const end = await toolx(["knowledge", "import", "a.md"], { TOOL_EXECUTOR_URL: "http://127.0.0.1:1" });
    expect(end).toMatchObject({ code: 2, stderr: expect.stringContaining("documents are kept where its tasks are") });
  });

  test("of a package's documentation is done in one go, and again changes nothing", async () => {
    expect((await knowledge("import", realDocs, "--collection", "fastify")).stderr).toMatch(/added 4\d · /);
    expect((await knowledge("import", realDocs, "--collection", "fastify")).stderr).toMatch(
      /added 0 · changed 0 · unchanged 4\d/,
    );
  }, 60_000);
});

describe("toolx knowledge ls and rm", () => {
  beforeEach(async () => {
    for (const path of ["docs/a.md", "docs/deep/b.md", "docs/deeper.md"]) await put(path, "rain");
    await put("docs/lines.jsonl", '{"text": "hail"}\n{"text": "wind"}\n');
    await knowledge("import", "docs");
    await knowledge("import", "docs/a.md", "--collection", "other", "--tenant", "acme");
  });

  test("show a tenant its own collections and documents", async () => {
    expect(await json("ls")).toEqual([
      { collection: "default", documents: 5, passages: 5, changed_at: expect.stringMatching(/^20/) },
    ]);
    expect(await json("ls", "--tenant", "acme")).toMatchObject([{ collection: "other", documents: 1 }]);
    expect(await json("ls", "other")).toEqual([]);
    const { stdout } = await knowledge("ls", "default");
    expect(stdout).toMatch(/^PATH +TITLE +TAGS +PASSAGES +CHANGED\na\.md +a +- +1 +20/);
  });

  test.each([
    ["a collection", ["default"], 5],
    ["a document", ["default", "--path", "a.md"], 1],
    ["what is below a folder", ["default", "--path", "deep"], 1],
    ["the lines of a file", ["default", "--path", "lines.jsonl"], 2],
  ])("take away %s", async (_what, args, count) => {
    expect(await knowledge("rm", ...args)).toMatchObject({
      code: 0,
      stderr: `removed  ${count} document${count === 1 ? "" : "s"} of default\n`,
    });
    expect(await json("ls", "default")).toHaveLength(5 - count);
    expect(await json("ls", "--tenant", "acme")).toMatchObject([{ documents: 1 }]);
  });

  test.each([
    [["nowhere"], 'no collection "nowhere" of tenant default'],
    [["other"], 'no collection "other" of tenant default'],
    [["default", "--path", "dee"], 'no document at "dee" of tenant default'],
  ])("say where %j has nothing to take away", async (args, message) => {
    expect(await knowledge("rm", ...args)).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
  });
});
