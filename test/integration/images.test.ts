import { type ChildProcess, spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { debianRoot } from "../../src/adapters/docker/base-image.ts";
import { type BuiltImage, buildImages, type ImageBuildOptions } from "../../src/adapters/docker/image-build.ts";
import { imageMemory } from "../../src/adapters/docker/image-memory.ts";
import { engineMessages } from "../../src/adapters/docker/image-messages.ts";
import { imageReference, ownRepository } from "../../src/adapters/docker/image-names.ts";
import { findProgram } from "../../src/adapters/docker/image-program.ts";
import { smokeTest } from "../../src/adapters/docker/image-smoke.ts";
import { listImages, localImages } from "../../src/adapters/docker/images.ts";
import { loadConfig } from "../../src/app/config.ts";
import { testDocker } from "../support/bare-container.ts";
import { until } from "../support/until.ts";

const checkout = fileURLToPath(new URL("../..", import.meta.url));
const shippedDir = join(checkout, "sandbox-images");
const { baseImage, extraCaDir } = loadConfig(checkout);
const docker = testDocker();
const signal = new AbortController().signal;

const shipped: ImageBuildOptions = {
  repository: ownRepository,
  imagesDir: shippedDir,
  baseImage,
  extraCaDir,
  mayInstall: async () => true,
  force: false,
};

/** Images of this test run only: the real ones are neither touched nor tidied away. */
const repository = `tool-executor-test-${process.pid}`;
let trialDir: string;
let trial: ImageBuildOptions;

beforeAll(async () => {
  trialDir = await mkdtemp(join(tmpdir(), "tool-executor-images-"));
  for (const folder of ["base", "init"])
    await cp(join(shippedDir, folder), join(trialDir, folder), { recursive: true });
  trial = { ...shipped, repository, imagesDir: trialDir };
  await buildImages(docker, [], shipped, () => {}, signal);
}, 600_000);

afterAll(async () => {
  await rm(trialDir, { recursive: true, force: true });
  for (const reference of await referencesOf(`${repository}/*`)) await docker.getImage(reference).remove();
});

async function referencesOf(pattern: string): Promise<readonly string[]> {
  const found = await docker.listImages({ filters: { reference: [pattern] } });
  return found.flatMap((image) => image.RepoTags ?? []).filter((tag) => tag.startsWith(pattern.replace("*", "")));
}

async function putImage(name: string, dockerfile: string, smoke = "true"): Promise<void> {
  await mkdir(join(trialDir, name), { recursive: true });
  await writeFile(join(trialDir, name, "Dockerfile"), `ARG FETCH\nARG PARENT\n${dockerfile}\n`);
  await writeFile(join(trialDir, name, "smoke.sh"), `${smoke}\n`);
}

async function buildTrial(name: string, options: ImageBuildOptions = trial): Promise<BuiltImage> {
  const built = await buildImages(docker, [name], options, () => {}, signal);
  const image = built.find((each) => each.name === name);
  if (image === undefined) throw new Error(`${name} is not among what was built`);
  return image;
}

const sealed = (run: string): string => `FROM \${PARENT}\nRUN ${run} && /sbin/sandbox-init seal`;

describe("the images that come with the program", () => {
  test.each(["base", "shell", "python", "node"])("%s passes its smoke test as a task would run it", async (name) => {
    const image = (await buildImages(docker, [name], shipped, () => {}, signal)).find((each) => each.name === name);
    expect(image?.built).toBe(false);
    if (image !== undefined) await smokeTest(docker, image, image.smokeTest, signal);
  });

  test("are listed as up to date", async () => {
    const images = await listImages(docker, shippedDir, baseImage, signal);
    expect(images.map(({ name, upToDate }) => [name, upToDate])).toEqual([
      ["base", true],
      ["node", true],
      ["python", true],
      ["shell", true],
    ]);
  });

  test("are found by name, with their ID and environment", async () => {
    const image = await localImages(docker, ["python"]).resolve("python", signal);
    expect(image).toMatchObject({
      name: "python",
      id: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      env: { MPLBACKEND: "Agg", PATH: expect.stringContaining("/usr/local/bin") },
    });
  });

  test("are the only ones a request may name", async () => {
    expect(await localImages(docker, ["python"]).resolve("shell", signal)).toBeNull();
    await expect(localImages(docker, ["ruby"]).resolve("ruby", signal)).rejects.toMatchObject({
      code: "image",
      hint: expect.stringContaining("toolx images build ruby"),
    });
  });
});

describe("an image", () => {
  test("is built once, again when its inputs change, and its earlier version is then gone", async () => {
    await putImage("once", sealed("echo 1 >/version"));
    const first = await buildTrial("once");
    expect(first.built).toBe(true);
    await writeFile(join(trialDir, "once/README.md"), "# Once");
    expect(await buildTrial("once")).toMatchObject({ built: false, id: first.id });

    await putImage("once", sealed("echo 2 >/version"));
    const second = await buildTrial("once");
    expect(second.built).toBe(true);
    expect(second.id).not.toBe(first.id);
    expect(await referencesOf(`${repository}/once`)).toEqual([imageReference({ repository, ...second })]);
    await expect(docker.getImage(first.id).inspect()).rejects.toMatchObject({ statusCode: 404 });
    expect((await localImages(docker, ["once"], repository).resolve("once", signal))?.id).toBe(second.id);
  });

  test("that is remembered is the new one as soon as it was built again", async () => {
    await putImage("known", sealed("echo 1 >/version"));
    const first = await buildTrial("known");
    using memory = imageMemory(docker);
    const images = localImages(docker, ["known"], repository, undefined, memory);
    const idNow = async (): Promise<string | undefined> => (await images.resolve("known", signal))?.id;
    for (let count = 0; count < 5; count += 1) expect(await idNow()).toBe(first.id);
    await putImage("known", sealed("echo 2 >/version"));
    const second = await buildTrial("known");
    await until("the image built last", async () => (await idNow()) === second.id, 5000);
  });

  test("stays while a container uses it, though a later version was built", async () => {
    await putImage("used", sealed("echo 1 >/version"));
    const first = await buildTrial("used");
    const container = await docker.createContainer({ Image: first.id, Entrypoint: ["sleep"], Cmd: ["60"] });
    onTestFinished(() => container.remove({ force: true }));
    await container.start();
    await putImage("used", sealed("echo 2 >/version"));
    const second = await buildTrial("used");
    expect((await docker.getImage(first.id).inspect()).Id).toBe(first.id);
    expect((await localImages(docker, ["used"], repository).resolve("used", signal))?.id).toBe(second.id);
  });

  test("whose build fails says so with the end of the log, and where the whole log is", async () => {
    await putImage("broken", sealed("echo words of the failing step && exit 3"));
    const failure: unknown = await buildTrial("broken").catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "image", message: expect.stringContaining("words of the failing step") });
    const path = /log is in (\S+\.log)/.exec(String(failure))?.[1] ?? "";
    expect(await readFile(path, "utf8")).toContain("returned a non-zero code: 3");
    await rm(dirname(path), { recursive: true });
    expect(await referencesOf(`${repository}/broken`)).toEqual([]);
  });

  test("that fails its smoke test is named, with what the test printed", async () => {
    await putImage("sick", sealed("true"), "echo the disease >&2; exit 4");
    const image = await buildTrial("sick");
    await expect(smokeTest(docker, image, image.smokeTest, signal)).rejects.toMatchObject({
      code: "image",
      message: expect.stringMatching(/sick exited with 4:\nthe disease/),
    });
  });

  test("that has no folder is refused with the names there are", async () => {
    await expect(buildImages(docker, ["pyton"], shipped, () => {}, signal)).rejects.toMatchObject({
      code: "validation",
      message: expect.stringMatching(/pyton.*base, node, python, shell/),
    });
  });

  test("stops building when it is told to", async () => {
    await putImage("endless", sealed("sleep 300"));
    const stop = new AbortController();
    const building = buildImages(
      docker,
      ["endless"],
      trial,
      ({ message }) => {
        if (message.includes("sleep 300")) stop.abort(new Error("enough"));
      },
      stop.signal,
    );
    await expect(building).rejects.toThrow("enough");
  });
});

// A certificate authority of nobody's: its key was never kept.
const authority = `-----BEGIN CERTIFICATE-----
MIIBpDCCAUugAwIBAgIUQIM5Gp0cn9mCVyfHJRh2wkv6NjswCgYIKoZIzj0EAwIw
JzElMCMGA1UEAwwcVG9vbCBFeGVjdXRvciB0ZXN0IGF1dGhvcml0eTAgFw0yNjEx
MjMxNTMxMjNaGA8yMTI2MTAzMDE1MzEyM1owJzElMCMGA1UEAwwcVG9vbCBFeGVj
dXRvciB0ZXN0IGF1dGhvcml0eTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPlw
l3ZzEZjSVMnAget7myFr8YM/BqrihXK584F0vNKam5Dz7l2iyRkTNlDYWF7HyAGJ
c3R0Rfxm9VFbhcuLMmmjUzBRMB0GA1UdDgQWBBQ88VL3jFl3UTgthFU/6yBgnEa6
bDAfBgNVHSMEGDAWgBQ88VL3jFl3UTgthFU/6yBgnEa6bDAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIF3jdo3TwQevnRWaHUuFv4z+n+8QIT0VmHrA
d8NqwQRjAiB1DwcbwCu+gLfQNztToaT15+OaqIIpGBrPu1XVmAi0Yw==
-----END CERTIFICATE-----
`;

test("an extra certificate authority is trusted where an image is built and unknown where it runs", async () => {
  const caDir = await mkdtemp(join(tmpdir(), "tool-executor-ca-"));
  onTestFinished(() => rm(caDir, { recursive: true }));
  // With the operator's own: the build stage may need them to reach anything at all.
  await cp(extraCaDir, caDir, { recursive: true }).catch(() => {});
  await writeFile(join(caDir, "authority.crt"), authority);
  const bundle = "/etc/ssl/certs/ca-certificates.crt";
  const line = authority.split("\n")[4] ?? "";
  const isTrusted = `grep -qF ${line} ${bundle}`;
  await putImage(
    "trusting",
    `FROM \${FETCH} AS packages\nRUN ${isTrusted} && touch /trusted\n${sealed("true")}`.replace(
      "RUN true",
      "COPY --from=packages /trusted /trusted\nRUN true",
    ),
    `[ -f /trusted ] || fail "not trusted where it was built"\nif ${isTrusted}; then fail "trusted where it runs"; fi`,
  );
  const image = await buildTrial("trusting", { ...trial, extraCaDir: caDir });
  await smokeTest(docker, image, image.smokeTest, signal);
}, 300_000);

describe("where a registry answers", () => {
  test("the Debian root is pulled from it, and the base is built on that", async () => {
    await using registry = await openRegistry();
    const reference = `${registry.address}/debian:bookworm-slim`;
    const root = await debianRoot(docker, { baseImage, mayInstall: async () => true, fresh: false }, () => {}, signal);
    await docker.getImage(root).tag({ repo: `${registry.address}/debian`, tag: "bookworm-slim" });
    for await (const message of engineMessages(
      await docker.getImage(reference).push({ authconfig: { key: "e30=" } as never }),
    )) {
      if (message.kind === "error") throw new Error(message.text);
    }
    await docker.getImage(reference).remove();
    onTestFinished(() => docker.getImage(reference).remove());

    const told: string[] = [];
    const options = { ...trial, repository: `${repository}-pulled`, baseImage: reference };
    const [base] = await buildImages(docker, ["base"], options, ({ message }) => told.push(message), signal);
    onTestFinished(async () => {
      for (const each of await referencesOf(`${repository}-pulled/*`)) await docker.getImage(each).remove();
    });
    expect(told).toContain(`pulling ${reference}`);
    expect(told.filter((message) => message.startsWith("no "))).toEqual([]);
    expect((await docker.getImage(reference).inspect()).RepoTags).toContain(reference);
    if (base !== undefined) await smokeTest(docker, base, base.smokeTest, signal);
    expect(base?.built).toBe(true);
  }, 600_000);
});

/** Debian's own registry on a free port of the loopback. `npm test` puts the program where it is looked for. */
async function openRegistry(): Promise<AsyncDisposable & { readonly address: string }> {
  const unpacked = join(checkout, "node_modules/.cache/tool-executor/docker-registry/usr/bin/docker-registry");
  const program = (await findProgram("docker-registry")) ?? unpacked;
  const folder = await mkdtemp(join(tmpdir(), "tool-executor-registry-"));
  const address = `localhost:${await freePort()}`;
  const config = {
    version: 0.1,
    log: { level: "error" },
    storage: { filesystem: { rootdirectory: join(folder, "store") } },
    http: { addr: address },
  };
  // YAML takes JSON.
  await writeFile(join(folder, "config.yml"), JSON.stringify(config));
  const server = spawn(program, ["serve", join(folder, "config.yml")], { stdio: "ignore" });
  const ended = new Promise<string>((resolve) => {
    server.once("error", (error) => resolve(`${error.message}: run npm test, or apt-get install docker-registry`));
    server.once("exit", (code) => resolve(`docker-registry ended with ${code}`));
  });
  await Promise.race([
    untilAnswers(`http://${address}/v2/`, server),
    ended.then((why) => Promise.reject(new Error(why))),
  ]);
  return {
    address,
    async [Symbol.asyncDispose]() {
      server.kill();
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}

async function untilAnswers(url: string, server: ChildProcess): Promise<void> {
  const deadlineAt = Date.now() + 10_000;
  while (server.exitCode === null && Date.now() < deadlineAt) {
    const isUp = await fetch(url).then(
      (answer) => answer.ok,
      () => false,
    );
    if (isUp) return;
    await sleep(50);
  }
  throw new Error(`nothing answered at ${url} within 10 s`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}
