import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { type Cli, openCli } from "../../support/cli.ts";
import { testRuntime } from "../../support/house.ts";
import { brief, type HostileCase, hostile } from "../hostile-case.ts";

const env = { TOOL_EXECUTOR_RUNTIMES: testRuntime };

type Change = (tar: string, manifest: string) => Promise<void>;

/** A task's objects are changed on disk after it has ended; then its artifacts are pulled. */
const changed = (name: string, change: Change, pulled: readonly string[], says: RegExp): HostileCase =>
  hostile(
    "E24",
    name,
    async () => {
      await using toolx = await openCli();
      const command = "cd /output; echo first >a; echo second >b; mkdir d; echo third >d/c";
      expect(await toolx.run(["run", "shell", "--task-id", "t", "--", command], { env })).toMatchObject({ code: 0 });
      const place = join(toolx.dataDir, "objects/tasks/default/t/1");
      await change(join(place, "artifacts.tar"), join(place, "manifest.json"));
      const { code, stderr } = await toolx.run(["artifacts", "pull", "t", "--out", "out"], { env });
      expect([code, stderr]).toEqual([expect.any(Number), expect.stringMatching(says)]);
      expect(code).not.toBe(0);
      expect(await filesIn(toolx)).toEqual(pulled);
    },
    brief,
  );

async function filesIn({ workDir }: Cli): Promise<readonly string[]> {
  const names = await readdir(join(workDir, "out"), { recursive: true, withFileTypes: true }).catch(() => []);
  return names
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .toSorted();
}

const edited = async (path: string, edit: (bytes: Buffer) => Buffer): Promise<void> =>
  writeFile(path, edit(await readFile(path)));

/** The manifest with its second file's entry changed. */
const entry = (change: Readonly<Record<string, unknown>>) => (_tar: string, manifest: string) =>
  edited(manifest, (bytes) => {
    const told = JSON.parse(bytes.toString("utf8"));
    Object.assign(told.entries[1], change);
    return Buffer.from(JSON.stringify(told));
  });

export const storedObjectRows: readonly HostileCase[] = [
  changed(
    "one bit of a file is changed in the store",
    (tar) =>
      edited(tar, (bytes) => {
        const at = bytes.indexOf("second");
        return Buffer.concat([bytes.subarray(0, at), Buffer.from("S"), bytes.subarray(at + 1)]);
      }),
    ["a"],
    /internal: .*"b" is damaged in the object store: its sha256 is/,
  ),
  changed(
    "the tar is cut short",
    (tar) => edited(tar, (bytes) => bytes.subarray(0, bytes.indexOf("second") + 2)),
    ["a"],
    /"b" is damaged.*2 of its 7 bytes/,
  ),
  changed("the tar is another one", (tar) => edited(tar, (bytes) => Buffer.alloc(bytes.length)), [], /"a" is damaged/),
  changed("the tar is gone", (tar) => rm(tar), [], /artifacts\.tar is gone from the object store/),
  changed("the manifest is gone", (_tar, manifest) => rm(manifest), [], /manifest\.json is gone from the object store/),
  changed("the manifest is no JSON", (_tar, manifest) => writeFile(manifest, "{"), [], /manifest\.json .* is damaged/),
  changed(
    "the manifest names a path that climbs",
    entry({ path: "../../evil" }),
    [],
    /"b" is damaged.*the manifest does not name it/,
  ),
  changed(
    "the manifest names bytes that climb",
    entry({ path_base64: Buffer.from("../../evil").toString("base64") }),
    ["a"],
    /not a plain relative name/,
  ),
  changed("the manifest's place is beyond the tar", entry({ offset: 2 ** 40 }), ["a"], /"b" is damaged|"c" is damaged/),
  changed("the manifest's size is huge", entry({ size_bytes: 2 ** 50 }), ["a"], /"b" is damaged/),
  changed("the manifest's place is that of another file", entry({ offset: 512 }), ["a"], /"b" is damaged/),
];
