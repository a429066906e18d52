import { execFileSync } from "node:child_process";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cli, openCli } from "../support/cli.ts";
import { goProgram } from "../support/go-program.ts";
import { type Outside, openOutside } from "../support/outside.ts";
import { pythonWheels } from "../support/python-wheels.ts";

/** Clients that people use, as their image has them or as they are brought, told nothing but what a task's environment says. */

let toolx: Cli;
let outside: Outside;
let program: string;
let wheels: string;
beforeAll(async () => {
  toolx = await openCli();
  outside = await openOutside({ "allowed.test": [["93.184.216.34"]] });
  const files = join(outside.folder, "files");
  await mkdir(files);
  await bareRepository(outside.folder, join(files, "repository.git"));
  program = await goProgram(goClient, outside.folder);
  wheels = await pythonWheels(httpx, outside.folder);
}, 120_000);
afterAll(async () => {
  expect(await toolx.leftovers()).toEqual([]);
  await toolx[Symbol.asyncDispose]();
  await outside[Symbol.asyncDispose]();
});

/** One commit, as a plain web server can give it away. */
async function bareRepository(folder: string, place: string): Promise<void> {
  const work = join(folder, "work");
  const git = (...args: readonly string[]): unknown =>
    execFileSync("git", ["-c", "user.name=x", "-c", "user.email=x@x.test", ...args], { stdio: "ignore" });
  git("init", "--initial-branch", "main", work);
  await writeFile(join(work, "read.me"), "cloned\n");
  git("-C", work, "add", ".");
  git("-C", work, "commit", "-m", "one");
  git("clone", "--bare", work, `${place}.new`);
  git("-C", `${place}.new`, "update-server-info");
  await rename(`${place}.new`, place);
}

const goClient = `package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	answer, err := http.Get("https://allowed.test/hello")
	if err != nil {
		panic(err)
	}
	io.Copy(os.Stdout, answer.Body)
}
`;

/** With what it needs beside the packages of the image. */
const httpx = [
  "httpx==0.28.1",
  "httpcore==1.0.9",
  "h11==0.16.0",
  "anyio==4.9.0",
  "sniffio==1.3.1",
  "typing_extensions==4.14.1",
];
const importsHttpx = `PYTHONPATH=$(printf %s: wheels/*.whl) python3 -c`;

const hello = "hello from allowed.test/hello\n";

interface Client {
  readonly image: string;
  readonly command: string;
  readonly stdout?: string;
  /** Where it is given one. */
  readonly file?: () => string;
}

const clients: Readonly<Record<string, Client>> = {
  curl: { image: "shell", command: "curl -sS https://allowed.test/hello" },
  wget: { image: "shell", command: "wget -q -O - https://allowed.test/hello" },
  git: {
    image: "shell",
    command: "git clone -q https://allowed.test/repository.git copy && cat copy/read.me",
    stdout: "cloned\n",
  },
  openssl: {
    image: "shell",
    command:
      "printf 'GET /hello HTTP/1.0\\r\\nHost: allowed.test\\r\\n\\r\\n' | openssl s_client -quiet -verify_return_error -proxy 127.0.0.1:3128 -connect allowed.test:443 -servername allowed.test 2>/dev/null | tail -n 1",
  },
  "Python's urllib": {
    image: "python",
    command: `python3 -c 'import urllib.request as u; print(u.urlopen("https://allowed.test/hello").read().decode(), end="")'`,
  },
  "Python's requests": {
    image: "python",
    command: `python3 -c 'import requests; print(requests.get("https://allowed.test/hello").text, end="")'`,
  },
  "Python's httpx": {
    image: "python",
    command: `${importsHttpx} 'import httpx; print(httpx.get("https://allowed.test/hello").text, end="")'`,
    file: () => wheels,
  },
  "Python's httpx, asynchronous": {
    image: "python",
    command: `${importsHttpx} '
import asyncio, httpx
async def main():
    async with httpx.AsyncClient() as client:
        print((await client.get("https://allowed.test/hello")).text, end="")
asyncio.run(main())'`,
    file: () => wheels,
  },
  "Node's fetch": {
    image: "node",
    command: `node -e 'fetch("https://allowed.test/hello").then((answer) => answer.text()).then((text) => process.stdout.write(text))'`,
  },
  "Node's https": {
    image: "node",
    command: `node -e 'require("https").get("https://allowed.test/hello", (answer) => answer.pipe(process.stdout))'`,
  },
  "Go's net/http": { image: "shell", command: "./client", file: () => program },
};

describe.each(["runc", "runsc"])("under %s", (runtime) => {
  test.each(Object.entries(clients))("%s", async (_name, { image, command, stdout = hello, file }) => {
    const files = file === undefined ? [] : ["--file", file()];
    const result = await toolx.result(
      ["run", "shell", "--image", image, "--runtime", runtime, "--allow", "allowed.test", ...files, "--", command],
      { through: outside.through, env: outside.env },
    );
    expect(result.output.stdout, result.output.stderr).toBe(stdout);
    expect(result.reason).toBe("ok");
    expect(new Set(outside.takeConnections())).toEqual(new Set(["93.184.216.34 443"]));
    expect(result.egress.map(({ host, verdict }) => `${host} ${verdict}`)).toEqual(["allowed.test allowed"]);
  });
});
