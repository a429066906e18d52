import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect } from "vitest";
import type { Watcher } from "../../../src/executor/parts.ts";
import { ExecutorError } from "../../../src/model/failure.ts";
import { type Cli, openCli } from "../../support/cli.ts";
import { engineCalls } from "../../support/engine-calls.ts";
import { testHouse, testRuntime } from "../../support/house.ts";
import type { Ground } from "../ground.ts";
import { brief, expectReason, type HostileCase, hostile, shell } from "../hostile-case.ts";
import { withImage } from "../with-image.ts";

const env = { TOOL_EXECUTOR_RUNTIMES: testRuntime };
const content = { content_base64: Buffer.from("evil").toString("base64") };

/** Refused before there is a row of it, let alone a container. */
const refused = (id: string, name: string, files: readonly object[], at = "/files/0/path"): HostileCase =>
  hostile(
    id,
    name,
    async (ground) => {
      const key = { tenantId: "default", taskId: "never" };
      const error = await ground.refused({ task_id: key.taskId, ...shell("true"), files });
      expect(error).toMatchObject({ code: "validation" });
      expect((error as { details: readonly { path: string }[] }).details.map(({ path }) => path)).toContain(at);
      expect(await ground.house.parts.store.get(key, new AbortController().signal)).toBeNull();
    },
    brief,
  );

const paths: readonly HostileCase[] = [
  ["../../x", "climbs"],
  ["/abs", "is absolute"],
  ["a/../../x", "climbs in its middle"],
  ["..\\x", "climbs with a backslash"],
  ["a//b", "has an empty part"],
  ["./a", "begins with a dot"],
  ["a/..", "ends with a climb"],
  ["a\0b", "holds a NUL"],
  [`${"d/".repeat(65)}x`, "is 66 levels deep"],
  ["n".repeat(256), "has a part of 256 bytes"],
  [".toolx.py", "is the tool's own"],
].map(([path, what]) => refused("E16", `an input whose path ${what}`, [{ path, ...content }]));

const clashes: readonly HostileCase[] = [
  refused(
    "E17",
    "two inputs of one path",
    [
      { path: "a", ...content },
      { path: "a", ...content },
    ],
    "/files/1/path",
  ),
  refused(
    "E17",
    "an input used as another's folder",
    [
      { path: "a", ...content },
      { path: "a/b", ...content },
    ],
    "/files/1/path",
  ),
  refused("E17", "an input used as a folder by one before it", [
    { path: "a/b/c", ...content },
    { path: "a", ...content },
  ]),
  refused("E17", "an input that is a link", [{ path: "a", ...content, linkname: "/etc/shadow" }], "/files/0/linkname"),
  refused("E17", "an input by a hash that climbs", [{ path: "a", sha256: "../../../etc/shadow" }], "/files/0/sha256"),
];

const bomb = gzipSync(Buffer.alloc(50_000_000)).toString("base64");

const opaque = hostile(
  "E13",
  "a gzip bomb as an input stays what it is",
  async (ground) => {
    const body = { ...shell("sha256sum <bomb | cut -c1-64; ls -A"), files: [{ path: "bomb", content_base64: bomb }] };
    const { result } = await ground.run(body);
    expectReason(result, "ok");
    const hash = createHash("sha256").update(Buffer.from(bomb, "base64")).digest("hex");
    expect(result.output.stdout).toBe(`${hash}\nbomb\n`);
  },
  brief,
);

/** With a folder `in` that holds one plain file and whatever `make` puts beside it. */
const local = (
  id: string,
  name: string,
  make: (folder: string) => Promise<void>,
  look: (toolx: Cli) => Promise<void>,
) =>
  hostile(
    id,
    name,
    async () => {
      await using toolx = await openCli();
      const folder = join(toolx.workDir, "in");
      await mkdir(folder);
      await writeFile(join(folder, "plain"), "plain");
      await make(folder);
      await look(toolx);
      expect(await toolx.leftovers()).toEqual([]);
    },
    brief,
  );

const runWith = (toolx: Cli, ...files: readonly string[]) =>
  toolx.run(["run", "shell", ...files.flatMap((file) => ["--file", file]), "--", "find . -type f -o -type l | sort"], {
    env,
  });

const onTheCommandLine: readonly HostileCase[] = [
  local(
    "E17",
    "a folder with links to /etc/shadow and to / in it",
    async (folder) => {
      await symlink("/etc/shadow", join(folder, "shadow"));
      await symlink("/", join(folder, "root"));
    },
    async (toolx) => expect(await runWith(toolx, "in")).toMatchObject({ code: 0, stdout: "./in/plain\n" }),
  ),
  local(
    "E5",
    "a folder with a pipe in it",
    async (folder) => void execFileSync("mkfifo", [join(folder, "pipe")]),
    async (toolx) => expect(await runWith(toolx, "in")).toMatchObject({ code: 0, stdout: "./in/plain\n" }),
  ),
  local(
    "E5",
    "a pipe and a device as inputs",
    async (folder) => void execFileSync("mkfifo", [join(folder, "pipe")]),
    async (toolx) => {
      for (const file of ["in/pipe", "/dev/zero"]) {
        const { code, stderr } = await runWith(toolx, file);
        expect([code, stderr]).toEqual([2, expect.stringContaining("a regular file or a folder")]);
      }
    },
  ),
  local(
    "E16",
    "a place that climbs, given to --file",
    async () => undefined,
    async (toolx) => {
      for (const place of ["in/plain:../../x", "in/plain:/etc/x", "in/plain:a/../../x", "in:.."])
        expect((await runWith(toolx, place)).code, place).toBe(2);
    },
  ),
];

const trojan = "#!/bin/sh\\necho trojan >>/tmp/PWN\\necho trojan >>/output/PWN\\n";
const trojans = ["/usr/bin/xz", "/usr/bin/unpigz", "/usr/bin/pigz", "/bin/tar", "/usr/bin/gzip", "/usr/local/bin/tar"];

const neverRun = hostile("E27", "an image whose unpackers are trojans", (ground: Ground) =>
  withImage(
    ground.house,
    "shell",
    trojans.map((path) => `RUN printf '${trojan}' >${path}.new && chmod 755 ${path}.new && mv ${path}.new ${path}`),
    async (house) => {
      // Seen to be there, so that it is no wonder if it does not run.
      const seen = await ground.run(shell("tar --version; unpigz; cat /tmp/PWN"), { house });
      expect(seen.result.output.stdout).toBe("trojan\ntrojan\n");
      const body = {
        ...shell("ls /tmp /output; echo x >/output/f; sleep 1"),
        files: [{ path: "a.tar.xz", ...content }],
      };
      const { result } = await ground.run(body, { house });
      expectReason(result, "ok");
      expect(result.output.stdout).toBe("/output:\n\n/tmp:\n");
      expect(result.output.artifacts.map(({ path }) => path)).toEqual(["f"]);
    },
  ),
);

/** All that a task's life may ask of the engine. */
const allowedCalls = new Set([
  "GET /_ping",
  "HEAD /_ping",
  "GET /info",
  "GET /version",
  // Of images alone: whether one has changed.
  "GET /events",
  "GET /images/json",
  "GET /images/ID/json",
  "GET /containers/json",
  "GET /containers/ID/json",
  "POST /containers/create",
  "POST /containers/ID/attach",
  "POST /containers/ID/wait",
  "POST /containers/ID/start",
  "POST /containers/ID/kill",
  "DELETE /containers/ID",
]);

const noCopies = hostile(
  "E28",
  "inputs, output, artifacts, a failure and a cancel: what the engine is asked",
  async (ground) => {
    const enginePath = ground.house.config.dockerHost.replace(/^unix:\/\//, "");
    await using proxy = await engineCalls(enginePath);
    await using house = await testHouse({ DOCKER_HOST: `unix://${proxy.socketPath}` });
    const files = [{ path: "in", ...content }];
    const well = await ground.run({ ...shell("cat in - >/output/f; sleep 1"), files, stdin: "more" }, { house });
    expectReason(well.result, "ok");
    const badly = await ground.run({ ...shell("exit 3"), files }, { house });
    expectReason(badly.result, "nonzero_exit");
    const cancel = new AbortController();
    const watcher: Watcher = ({ kind }) => {
      if (kind === "output") cancel.abort(new ExecutorError("cancelled", "enough"));
    };
    expectReason(
      (await ground.run(shell("echo x; sleep 60"), { house, cancel: cancel.signal, watcher })).result,
      "cancelled",
    );
    const made = proxy.calls().filter((call) => call === "POST /containers/create").length;
    expect(made, "the calls are seen").toBe(3);
    expect([...new Set(proxy.calls())].filter((call) => !allowedCalls.has(call))).toEqual([]);
  },
);

export const inputRows: readonly HostileCase[] = [
  ...paths,
  ...clashes,
  opaque,
  ...onTheCommandLine,
  neverRun,
  noCopies,
];
