import { execFile } from "node:child_process";
import { lookup } from "node:dns/promises";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isPublicAddress } from "../../src/model/address.ts";
import { type Cli, openCli } from "../support/cli.ts";

/** Real packages from the registries that this machine's own clients use, whichever they are. */

let toolx: Cli;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "toolx-registries-"));
  toolx = await openCli();
});
afterAll(async () => {
  expect(await toolx.leftovers()).toEqual([]);
  await toolx[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const printed = async (program: string, ...args: readonly string[]): Promise<string> =>
  (await promisify(execFile)(program, args, { cwd: folder })).stdout.trim();

/** The settings by which these hosts can be reached from here, as this machine reaches them. */
async function settingsFor(hosts: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const exceptions: string[] = [];
  for (const host of hosts)
    for (const { address } of await lookup(host, { all: true }))
      if (!isPublicAddress(address)) exceptions.push(`${host}:443=${address}/${address.includes(":") ? 128 : 32}`);
  const authorities = join(folder, "authorities.pem");
  const place = "/usr/local/share/ca-certificates";
  const files = (await readdir(place).catch(() => [])).filter((name) => name.endsWith(".crt"));
  const texts = await Promise.all(files.map((name) => readFile(join(place, name), "utf8")));
  await writeFile(authorities, texts.join("\n"));
  return { EGRESS_EXCEPTIONS: exceptions.join(","), ...(texts.length > 0 && { EGRESS_CA_FILE: authorities }) };
}

const allow = (hosts: readonly string[]): readonly string[] => hosts.flatMap((host) => ["--allow", host]);

describe.each(["runc", "runsc"])("under %s", (runtime) => {
  const flags = ["--runtime", runtime, "--timeout", "110s", "--memory", "512m"];

  test("npm installs a package into /workspace, with only its registry's host allowed", {
    timeout: 180_000,
  }, async () => {
    const registry = await printed("npm", "config", "get", "registry");
    const hosts = [new URL(registry).hostname];
    const command = `npm install --no-audit --no-fund --loglevel error --registry ${registry} is-number@7.0.0 && node -p 'require("is-number")(42)'`;
    const result = await toolx.result(["run", "shell", "--image", "node", ...allow(hosts), ...flags, "--", command], {
      env: await settingsFor(hosts),
    });
    expect(result.output.stderr).toBe("");
    expect(result.output.stdout).toMatch(/\ntrue\n$/);
    expect(result.egress.map(({ host, port, verdict }) => ({ host, port, verdict }))).toEqual([
      { host: hosts[0], port: 443, verdict: "allowed" },
    ]);
  });

  test("pip installs a package into /workspace, with only its index's hosts allowed", {
    timeout: 180_000,
  }, async () => {
    const plan = ["install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-", "idna==3.10"];
    const report = JSON.parse(await printed("python3", "-m", "pip", ...plan)) as {
      install: readonly { download_info: { url: string } }[];
    };
    const index = await printed(
      "python3",
      "-c",
      "import subprocess, sys; from pip._internal.models.index import PyPI; found = subprocess.run([sys.executable, '-m', 'pip', 'config', 'get', 'global.index-url'], capture_output=True, text=True); print(found.stdout.strip() or PyPI.simple_url)",
    );
    const hosts = [...new Set([index, report.install[0]?.download_info.url ?? ""].map((url) => new URL(url).hostname))];
    const command = `pip install --quiet --no-cache-dir --index-url ${index} --target /workspace/lib idna==3.10 && PYTHONPATH=/workspace/lib python3 -c 'import idna; print(idna.encode("b\u00fccher.example").decode())'`;
    const result = await toolx.result(["run", "shell", "--image", "python", ...allow(hosts), ...flags, "--", command], {
      env: await settingsFor(hosts),
    });
    expect(result.output.stdout, result.output.stderr).toBe("xn--bcher-kva.example\n");
    expect(result.egress.every(({ host, verdict }) => hosts.includes(host ?? "") && verdict === "allowed")).toBe(true);
  });
});
