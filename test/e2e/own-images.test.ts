import { expect, test } from "vitest";
import { debianRoot } from "../../src/adapters/docker/base-image.ts";
import { stageLabel } from "../../src/adapters/docker/image-names.ts";
import { buildStep } from "../../src/adapters/docker/image-step.ts";
import { loadConfig } from "../../src/app/config.ts";
import { testDocker } from "../support/bare-container.ts";
import { checkout, openCli } from "../support/cli.ts";

const docker = testDocker();
const signal = new AbortController().signal;

// An image as a team's CI has it: a language, a project's dependencies and its sources, made for a user and a command of its own.
const dockerfile = `ARG FETCH
ARG DEBIAN
FROM \${FETCH} AS packages
LABEL tool-executor.stage=test-ci-project
RUN pip install --quiet --no-cache-dir --break-system-packages --target /site freezegun==1.5.5 pytest==8.4.2
RUN pip download --quiet --no-cache-dir --no-deps --no-binary :all: --dest /sdist itsdangerous==2.2.0 \\
 && mkdir /project \\
 && tar -xzf /sdist/itsdangerous-2.2.0.tar.gz --strip-components 1 -C /project

FROM \${DEBIAN}
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
COPY --from=packages /site /opt/site
COPY --from=packages /project /project
ENV PYTHONPATH=/opt/site:/project/src CI_TOKEN=not-for-tasks
RUN useradd --create-home ci
USER ci
WORKDIR /project
VOLUME /var/cache/ci
HEALTHCHECK CMD python3 --version
ENTRYPOINT ["python3", "-m", "pytest"]
`;

test("a CI image with a project's dependencies is added, and runs that project's own tests in a task", async () => {
  await using toolx = await openCli();
  await using tidy = new AsyncDisposableStack();
  const { baseImage } = loadConfig(checkout);
  const debian = await debianRoot(docker, { baseImage, mayInstall: async () => true, fresh: false }, () => {}, signal);
  const [fetch] = await docker.listImages({ filters: { reference: ["tool-executor/base-fetch"] } });
  expect(fetch, "an image tool-executor/base-fetch: bin/toolx images build makes it").toBeDefined();
  const version = {
    repository: "tool-executor-test",
    name: "ci-project",
    inputs: String(process.pid).padStart(12, "0"),
  };
  const files = [{ path: "Dockerfile", bytes: Buffer.from(dockerfile), executable: false }];
  const buildArguments = { FETCH: fetch?.Id ?? "", DEBIAN: debian };
  const step = { ...version, files, caFiles: [], target: null, buildArguments, useCache: true, labelled: false };
  await buildStep(docker, step, () => {}, signal);
  const reference = `tool-executor-test/ci-project:${version.inputs}`;
  tidy.defer(async () => {
    await docker.getImage(reference).remove();
    const stages = await docker.listImages({
      filters: { label: [`${stageLabel}=test-ci-project`], dangling: ["true"] },
    });
    for (const { Id } of stages) await docker.getImage(Id).remove();
  });

  const added = await toolx.run(["images", "add", reference, "--", "python3", "-m", "pytest", "--version"]);
  expect([added.code, added.stdout]).toEqual([0, expect.stringMatching(/^ci-project {2}sha256:[0-9a-f]{64}\n$/)]);
  tidy.defer(async () => void (await toolx.run(["images", "rm", "ci-project"])));
  const { stdout: listed } = await toolx.run(["images", "ls"]);
  expect(listed).toMatch(new RegExp(`^ci-project +up to date .* ${reference}$`, "m"));

  const tests = "cp -r /project . && cd project && python3 -m pytest -q -p no:cacheprovider && echo token=$CI_TOKEN";
  const result = await toolx.result(["run", "shell", "--image", "ci-project", "--", tests]);
  expect(result).toMatchObject({ reason: "ok", sandbox: { image: "ci-project" } });
  const [, passed] = /(\d+) passed/.exec(result.output.stdout) ?? [];
  expect(Number(passed)).toBeGreaterThan(100);
  expect(result.output.stdout).toMatch(/\ntoken=\n$/);

  expect(await toolx.run(["images", "rm", "ci-project"])).toMatchObject({ code: 0, stderr: "removed ci-project\n" });
  const refused = await toolx.run(["run", "shell", "--image", "ci-project", "--", "true"]);
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringContaining("is not allowed; allowed: shell, python, node"),
  ]);
  expect(await toolx.leftovers()).toEqual([]);
}, 600_000);
