import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { text } from "node:stream/consumers";
import tar from "tar-stream";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { stageLabel } from "../../src/adapters/docker/image-names.ts";
import { type AddRequest, addImage, forgetImage } from "../../src/app/own-images.ts";
import { submit } from "../../src/executor/submit.ts";
import type { Result } from "../../src/model/result.ts";
import type { OwnImage } from "../../src/ports/own-images.ts";
import { ourImage, testDocker } from "../support/bare-container.ts";
import { derivedImage } from "../support/derived-image.ts";
import { type TestHouse, testHouse } from "../support/house.ts";

const docker = testDocker();
const signal = new AbortController().signal;
let house: TestHouse;
let parentId: string;

beforeAll(async () => {
  house = await testHouse();
  parentId = await ourImage(docker, "base");
});
afterAll(() => house[Symbol.asyncDispose]());

/** An image made of these lines on our base image, gone when the test is over. */
async function source(...lines: readonly string[]): Promise<string> {
  const image = await derivedImage(docker, parentId, lines);
  onTestFinished(() => image[Symbol.asyncDispose]());
  return image.id;
}

let count = 0;

/** A tagged image made of a whole Dockerfile, gone when the test is over. */
async function built(dockerfile: string, options: { readonly platform?: string } = {}): Promise<string> {
  count += 1;
  const tag = `tool-executor-test/built:${process.pid}-${count}`;
  const context = tar.pack();
  context.entry({ name: "Dockerfile" }, dockerfile);
  context.finalize();
  const answer = await docker.buildImage(context as unknown as NodeJS.ReadableStream, { t: tag, ...options });
  expect(await text(answer)).not.toContain('"error"');
  onTestFinished(() => docker.getImage(tag).remove());
  return tag;
}

/** Adds it under a name of its own, and takes it away when the test is over. */
async function add(reference: string, request: Partial<AddRequest> = {}, house_ = house): Promise<OwnImage> {
  count += 1;
  const name = `trial-${process.pid}-${count}`;
  // One process listens in a runtime folder once, and this house does already.
  const config = { ...house_.config, runtimeDir: `${house_.config.runtimeDir}-add` };
  const image = await addImage(config, { reference, name, smoke: [], ...request }, () => undefined, signal);
  onTestFinished(async () => {
    const isListed = house_.parts.images.names().includes(image.name);
    if (isListed) await forgetImage(house_.config, image.name, signal);
  });
  return image;
}

async function run(image: string, payload: object, house_ = house): Promise<Result> {
  count += 1;
  const task = house_.parseTask({ task_id: `t-${count}`, tool_name: "shell", payload, image });
  return await submit(house_.parts, task, { watcher: () => undefined, stdin: null }, signal);
}

async function lines(image: string, command: string): Promise<readonly string[]> {
  const { reason, output } = await run(image, { command });
  expect([reason, output.stderr]).toEqual(["ok", ""]);
  return output.stdout.trim().split("\n");
}

/** Everything on the engine that an add could leave behind. */
async function engineState(sourceId: string): Promise<object> {
  const [all, stages, containers, volumes] = await Promise.all([
    docker.listImages(),
    docker.listImages({ filters: { label: [stageLabel], dangling: ["true"] } }),
    docker.listContainers({ all: true, filters: { ancestor: [sourceId] } }),
    docker.listVolumes(),
  ]);
  const isOwn = (tag: string): boolean => tag.startsWith("tool-executor/own-");
  return {
    tags: all.flatMap((image) => image.RepoTags ?? []).filter(isOwn),
    stages: stages.map((image) => image.Labels[stageLabel] ?? "").filter((stage) => stage.startsWith("own-")),
    containers: containers.map(({ Id }) => Id),
    volumes: (volumes.Volumes ?? []).map(({ Name }) => Name).sort(),
  };
}

const pushy: readonly string[] = [
  "RUN cp /usr/bin/id /usr/bin/id-as-root && chmod 6755 /usr/bin/id-as-root && ln /usr/bin/id-as-root /opt/again",
  "RUN mkdir /data && echo secret >/data/file",
  "ENV LD_PRELOAD=/nowhere.so BASH_ENV=/onenv PROMPT_COMMAND=trick JAVA_HOME=/opt/java GODEBUG=x=1",
  "LABEL tool-executor.owner=a:b:1:1 tool-executor.image=shell",
  "VOLUME /data",
  "STOPSIGNAL SIGCONT",
  "HEALTHCHECK --interval=1s CMD touch /output/healthy",
  "ONBUILD RUN touch /triggered",
  "ONBUILD COPY --from=nowhere /a /b",
  "USER 1000",
  "WORKDIR /proc/self/fd/7",
  'ENTRYPOINT ["/bin/false"]',
  'CMD ["trick"]',
];

describe("an image that asks for everything", () => {
  test("is added with nothing of it taking effect, and nothing is left behind", async () => {
    const id = await source(...pushy);
    const before = await engineState(id);
    const image = await add(id);
    const seen = await lines(
      image.name,
      `id -u; id-as-root -u; /opt/again -u
       find / -xdev -perm /6000 -type f 2>/dev/null | wc -l
       grep NoNewPrivs /proc/self/status | tr -dc 0-9; echo
       env | cut -d= -f1 | grep -E '^(LD_PRELOAD|BASH_ENV|PROMPT_COMMAND|GODEBUG|JAVA_HOME)$'
       pwd; ls /data | wc -l; (touch /data/x || echo refused) 2>&1 | tail -1
       ls /triggered /output/healthy 2>/dev/null | wc -l
       whoami`,
    );
    const [uid] = seen;
    expect(Number(uid)).toBeGreaterThanOrEqual(200_000);
    expect(seen).toEqual([uid, uid, uid, "0", "1", "JAVA_HOME", "/workspace", "0", "refused", "0", "sandbox"]);

    const [derived, origin] = await Promise.all([docker.getImage(image.id).inspect(), docker.getImage(id).inspect()]);
    expect(derived.Config.Labels).toMatchObject({ "tool-executor.image": image.name, "tool-executor.source": id });
    expect(derived.Config.OnBuild ?? []).toEqual([]);
    expect(derived.RootFS.Layers?.slice(0, origin.RootFS.Layers?.length)).toEqual(origin.RootFS.Layers);

    expect(await forgetImage(house.config, image.name, signal)).toBe(true);
    expect(await engineState(id)).toEqual(before);
  });

  test("would run its build triggers if it were built upon in the usual way", async () => {
    const id = await source("ONBUILD RUN exit 9");
    await expect(derivedImage(docker, id, [])).rejects.toThrow("non-zero code: 9");
    await add(id);
  });

  test("gives no capability through a file of its own", async () => {
    const python = await ourImage(docker, "python");
    // Revision 2 of the kernel's format, cap_net_raw permitted, with the effective bit and without.
    const capped = (name: string, magic: number): string =>
      `RUN cp /usr/bin/grep /usr/bin/${name} && python3 -c "import os, struct; os.setxattr('/usr/bin/${name}', 'security.capability', struct.pack('<5I', ${magic}, 1 << 13, 0, 0, 0))"`;
    const id = await derivedImage(docker, python, [capped("permitted", 0x02000000), capped("effective", 0x02000001)]);
    onTestFinished(() => id[Symbol.asyncDispose]());
    const image = await add(id.id);
    const { output } = await run(image.name, {
      command: "permitted -E '^Cap(Prm|Eff)' /proc/self/status; effective Cap /proc/self/status || echo refused",
    });
    expect(output.stdout.replaceAll("\t", " ").trim().split("\n")).toEqual([
      "CapPrm: 0000000000000000",
      "CapEff: 0000000000000000",
      "refused",
    ]);
  });
});

describe("an image of any shape can be added", () => {
  test("without a shell, a user, a folder: one program on nothing", async () => {
    const image = await add(await built(`FROM scratch\nCOPY --from=${parentId} /sbin/sandbox-init /program\n`));
    expect(await run(image.name, { argv: ["/program", "version"] })).toMatchObject({
      reason: "ok",
      output: { stdout: expect.stringContaining("protocol") },
      sandbox: { image: image.name, image_id: image.id },
    });
    expect(await run(image.name, { command: "true" })).toMatchObject({
      status: "failed",
      exit_code: 127,
      output: { stderr: expect.stringContaining("bash") },
    });
  });

  test.each<[string, readonly string[]]>([
    [
      "places that are links, no user at all, a sandbox-init of its own",
      [
        "rm -rf /workspace /output /tmp && ln -s /etc /workspace && ln -s /tmp /output && ln -s /output /tmp",
        "rm -f /etc/passwd /etc/group",
        "printf '#!/bin/sh\\necho mine' >/sbin/sandbox-init",
      ],
    ],
    [
      "places that are files, a passwd that leads out of the image, a folder for sandbox-init",
      [
        "rm -rf /workspace /output && echo x >/workspace && echo x >/output",
        "ln -sf ../../../../proc/self/environ /etc/passwd",
        "rm /sbin/sandbox-init && mkdir -p /sbin/sandbox-init/x",
      ],
    ],
    [
      "a sandbox-init in another process, files where the names go",
      [
        "ln -sf /proc/1/root/bin/bash /sbin/sandbox-init",
        "rm -rf /run/toolx && mkdir /run/toolx && touch /run/toolx/x",
      ],
    ],
  ])("%s", async (_what, commands) => {
    const image = await add(await source(`RUN ${commands.join(" && ")}`));
    expect(
      await lines(
        image.name,
        "cd /workspace && echo kept >a && cat a && echo b >/output/b && echo c >/tmp/c && whoami",
      ),
    ).toEqual(["kept", "sandbox"]);
  });

  test("one with no programs of ours, Debian as it comes", async () => {
    const { RootFS } = await docker.getImage(parentId).inspect();
    const debian = (await docker.listImages({ filters: { reference: ["tool-executor/debian", "debian"] } })).map(
      ({ Id }) => Id,
    );
    const roots = await Promise.all(debian.map((id) => docker.getImage(id).inspect()));
    const root = roots.find((each) => each.RootFS.Layers?.[0] === RootFS.Layers?.[0]);
    const image = await add(root?.Id ?? "");
    // Debian has some ten setuid programs, su among them.
    expect(
      await lines(
        image.name,
        "find / -xdev -perm /6000 -type f 2>/dev/null | wc -l; ls /bin/su; whoami; getent passwd root",
      ),
    ).toEqual(["0", "/bin/su", "sandbox", "root:x:0:0:root:/root:/bin/bash"]);
  });
});

describe("what cannot be made safe is refused, and leaves nothing", () => {
  test.each<[string, readonly string[], RegExp]>([
    ["a volume over a place of the sandbox", ["VOLUME /workspace/x"], /declares a volume at \/workspace\/x/],
    ["a volume over the root", ["VOLUME /"], /declares a volume at \//],
    [
      "a place for sandbox-init that means another at run time",
      ["RUN mkdir -p /x && cp -a /usr/sbin/. /x && ln -sfn /proc/1/root/x /sbin"],
      /\/sbin leads to \/proc\/1\/root\/x, must be/,
    ],
    ["a link in the place of /run", ["RUN rm -rf /run && ln -s /var/lib /run"], /\/run must be a folder, or missing/],
    ["a passwd that never ends", ["RUN rm -f /etc/passwd && mkfifo /etc/passwd"], /\/etc\/passwd .*cannot be read/],
    ["a group that leads in a circle", ["RUN ln -sf group /etc/group"], /\/etc\/group cannot be read/],
  ])("%s", async (_what, dockerfile, message) => {
    const id = await source(...dockerfile);
    const before = await engineState(id);
    const failure: unknown = await add(id).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "image", message: expect.stringMatching(message) });
    const log = /log is in (\S+\.log)/.exec(String(failure))?.[1];
    if (log !== undefined) await rm(dirname(log), { recursive: true });
    expect(await engineState(id)).toEqual(before);
    expect(house.parts.images.names()).toEqual(["shell", "python", "node"]);
  });

  test("an image made for another machine", async () => {
    const tag = await built("FROM scratch\nCOPY Dockerfile /\n", { platform: "linux/s390x" });
    await expect(add(tag)).rejects.toMatchObject({
      code: "validation",
      message: expect.stringMatching(/is made for linux\/s390x; allowed: linux\//),
    });
  });

  test.each<[string, Partial<AddRequest>, RegExp]>([
    ["nowhere/image:1", {}, /no image "nowhere\/image:1" on this engine/],
    ["../containers/json", {}, /is no image reference/],
    ["tool-executor/shell", { name: "Shell" }, /--name is "Shell"; allowed: a lower-case letter/],
    ["tool-executor/shell", { name: "python" }, /python is the name of an image that comes with the program/],
    ["acme/base", { name: null }, /base is the name of an image that comes with the program/],
    ["sha256:0123456789ab", { name: null }, /gives no name; allowed: a lower-case letter/],
  ])("%s %j", async (reference, request, message) => {
    await expect(add(reference, request)).rejects.toMatchObject({
      code: "validation",
      message: expect.stringMatching(message),
    });
  });

  test("one that fails what it is tried with", async () => {
    const id = await source("RUN echo 'echo the disease >&2; exit 4' >/check");
    const before = await engineState(id);
    await expect(add(id, { smoke: ["bash", "/check"] })).rejects.toMatchObject({
      code: "image",
      message: expect.stringMatching(/fails "bash \/check": the task exited with code 4\nthe disease/),
    });
    expect(await engineState(id)).toEqual(before);
  });
});

describe("the name of an added image", () => {
  test("means the image that was tried, whatever is tagged on the engine later", async () => {
    const image = await add(await source("RUN echo tried >/version"));
    const other = await source("RUN echo slipped in >/version", 'ENTRYPOINT ["/sbin/sandbox-init"]');
    const { RepoTags } = await docker.getImage(image.id).inspect();
    const [repo = "", tag = ""] = (RepoTags[0] ?? "").split(":");
    await docker.getImage(other).tag({ repo, tag });
    expect(await lines(image.name, "cat /version")).toEqual(["tried"]);
  });

  test("is known to this data folder only, and forgotten when it is removed", async () => {
    const image = await add(await source("RUN true"));
    await using elsewhere = await testHouse();
    const denied = {
      code: "policy_denied",
      message: expect.stringContaining("is not allowed; allowed: shell, python, node"),
    };
    await expect(run(image.name, { command: "true" }, elsewhere)).rejects.toMatchObject(denied);
    await forgetImage(house.config, image.name, signal);
    await expect(run(image.name, { command: "true" })).rejects.toMatchObject(denied);
    await expect(forgetImage(house.config, image.name, signal)).rejects.toMatchObject({ code: "validation" });
  });

  test("of an image that is no longer on the engine is an image failure that says what to do", async () => {
    const id = await source("RUN true");
    const image = await add(id);
    // The engine takes what has no tag along with what was built on it.
    await docker.getImage(id).tag({ repo: "tool-executor-test/kept", tag: String(process.pid) });
    await docker.getImage(image.id).remove({ force: true });
    expect(await run(image.name, { command: "true" })).toMatchObject({
      reason: "image",
      error: { hint: `add it again with: toolx images add ${image.source} --name ${image.name}` },
    });
  });

  test("given again means the new image, or still the old one when the new one fails", async () => {
    const image = await add(await source("RUN echo 1 >/version"));
    const second = await source("RUN echo 2 >/version");
    const { name } = image;
    await expect(add(second, { name, smoke: ["exit 3"] })).rejects.toMatchObject({ code: "image" });
    expect(await lines(name, "cat /version")).toEqual(["1"]);
    await add(second, { name });
    expect(await lines(name, "cat /version")).toEqual(["2"]);
    await expect(docker.getImage(image.id).inspect()).rejects.toMatchObject({ statusCode: 404 });
  });
});
