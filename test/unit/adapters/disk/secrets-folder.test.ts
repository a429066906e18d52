import { execFileSync } from "node:child_process";
import { chmodSync, lchownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { secretsFolder } from "../../../../src/adapters/disk/secrets-folder.ts";
import { ExecutorError } from "../../../../src/model/failure.ts";
import type { SecretProvider } from "../../../../src/ports/secret-provider.ts";
import { never } from "../../../support/samples.ts";

let base: string;
let folder: string;
let secrets: SecretProvider;
const value = "the value that nobody may see";
const isRoot = process.geteuid?.() === 0;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "toolx-secrets-"));
  folder = join(base, "secrets");
  mkdirSync(join(folder, "acme"), { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, "acme", "DB_URL"), value, { mode: 0o600 });
  secrets = secretsFolder(folder, "TOOL_EXECUTOR_SECRETS");
});
afterEach(() => rmSync(base, { recursive: true }));

async function refusal(find: () => Promise<unknown>): Promise<{ readonly code: string; readonly message: string }> {
  try {
    await find();
  } catch (error) {
    if (error instanceof ExecutorError) return { code: error.code, message: `${error.message} ${error.hint}` };
    throw error;
  }
  throw new Error("it was not refused");
}

const dbUrl = (): Promise<Uint8Array | null> => secrets.find("acme", "DB_URL", never());

describe("a file that others may read or choose is refused by the secret's name, without value and path", () => {
  const path = (): string => join(folder, "acme", "DB_URL");
  const replaced = (make: () => unknown): void => {
    rmSync(path());
    make();
  };
  const elsewhere = (): string => {
    writeFileSync(join(base, "elsewhere"), value, { mode: 0o600 });
    return join(base, "elsewhere");
  };
  const linked = (target: string): void => replaced(() => symlinkSync(target, path()));
  test.each<[string, () => void, string]>([
    ["readable by the group", () => chmodSync(path(), 0o640), "its file is open to others (mode 0640), must be 0600"],
    ["readable by all", () => chmodSync(path(), 0o604), "its file is open to others (mode 0604), must be 0600"],
    ["writable by others", () => chmodSync(path(), 0o602), "its file is open to others (mode 0602), must be 0600"],
    ["a link to a good file elsewhere", () => linked(elsewhere()), "its file is a link out of the folder of secrets"],
    ["a link that climbs out", () => linked("../../elsewhere"), "its file is a link out of the folder of secrets"],
    ["a link to nothing", () => linked("NOTHING"), "its file is a link to what is not there"],
    ["a link to itself", () => linked("DB_URL"), "its file is a link to a link, more than 8 times"],
    ["a link to its folder", () => linked("."), "its file is a link to a folder above it"],
    [
      "a link to a file that others may read",
      () => {
        linked("OTHER");
        chmodSync(join(folder, "acme", "OTHER"), 0o644);
      },
      "its file is open to others (mode 0644)",
    ],
    [
      "a link through a folder that others may write",
      () => {
        mkdirSync(join(folder, "acme", "..data"));
        writeFileSync(join(folder, "acme", "..data", "DB_URL"), value, { mode: 0o600 });
        linked("..data/DB_URL");
        chmodSync(join(folder, "acme", "..data"), 0o777);
      },
      "its file is a link through a folder that can be written by others (mode 0777)",
    ],
    ["a folder", () => replaced(() => mkdirSync(path())), "its file is no regular file"],
    [
      "a pipe, which is not waited for",
      () => replaced(() => execFileSync("mkfifo", ["-m", "600", path()])),
      "its file is no regular file",
    ],
    [
      "in a folder that others may write",
      () => chmodSync(join(folder, "acme"), 0o770),
      "the folder of tenant acme can be written by others (mode 0770)",
    ],
    [
      "in a folder that is a link",
      () => {
        rmSync(join(folder, "acme"), { recursive: true });
        mkdirSync(join(base, "elsewhere"));
        symlinkSync(join(base, "elsewhere"), join(folder, "acme"));
      },
      "the folder of tenant acme is a link out of the folder of secrets",
    ],
  ])("%s", async (_name, spoil, why) => {
    writeFileSync(join(folder, "acme", "OTHER"), value, { mode: 0o600 });
    spoil();
    const { code, message } = await refusal(dbUrl);
    expect(code).toBe("policy_denied");
    expect(message).toContain(`secret DB_URL cannot be used: ${why}`);
    expect(message).not.toContain(value);
    expect(message).not.toContain(base);
  });
});

describe("links of this user's that stay within the folder are followed", () => {
  test("a file as Kubernetes mounts it, also when it is mounted anew", async () => {
    const tenant = join(folder, "team");
    mkdirSync(tenant);
    // Everybody may add to the folder of a mount, and only an owner take away.
    chmodSync(tenant, 0o1777);
    const mounted = (version: string): void => {
      mkdirSync(join(tenant, version), { mode: 0o755 });
      writeFileSync(join(tenant, version, "DB_URL"), `${version} ${value}`, { mode: 0o400 });
      rmSync(join(tenant, "..data"), { force: true });
      symlinkSync(version, join(tenant, "..data"));
    };
    const found = async () => Buffer.from((await secrets.find("team", "DB_URL", never())) ?? []).toString();
    mounted("..2026_1");
    symlinkSync("..data/DB_URL", join(tenant, "DB_URL"));
    expect(await found()).toBe(`..2026_1 ${value}`);
    mounted("..2026_2");
    expect(await found()).toBe(`..2026_2 ${value}`);
  });

  test("the folder of a tenant, and a path from the root on", async () => {
    mkdirSync(join(folder, "..data", "team"), { recursive: true, mode: 0o755 });
    writeFileSync(join(folder, "..data", "team", "KEY"), value, { mode: 0o400 });
    symlinkSync("..data/team", join(folder, "team"));
    symlinkSync(join(folder, "..data", "team", "KEY"), join(folder, "..data", "team", "SAME"));
    for (const name of ["KEY", "SAME"])
      expect(Buffer.from((await secrets.find("team", name, never())) ?? []).toString()).toBe(value);
    expect(await secrets.find("team", "OTHER", never())).toBeNull();
  });

  test("but no link of another user's", async () => {
    if (!isRoot) return;
    symlinkSync("DB_URL", join(folder, "acme", "THEIRS"));
    lchownSync(join(folder, "acme", "THEIRS"), 12_345, 12_345);
    const { message } = await refusal(() => secrets.find("acme", "THEIRS", never()));
    expect(message).toContain("its file is a link that belongs to another user");
  });
});

test("what belongs to another user is refused", async () => {
  if (isRoot) lchownSync(join(folder, "acme", "DB_URL"), 12_345, 12_345);
  const { message } = await refusal(
    isRoot ? dbUrl : () => secretsFolder("/usr", "SECRETS").find("bin", "env", never()),
  );
  expect(message).toContain("belongs to another user");
});

test("files of mode 0400, and bytes that are no text, are given as they are", async () => {
  const bytes = Buffer.from([0, 0xff, 10, 13]);
  writeFileSync(join(folder, "acme", "RAW"), bytes, { mode: 0o400 });
  expect(await secrets.find("acme", "RAW", never())).toEqual(bytes);
});

test("a file is read no further than a value can go", async () => {
  const longest = Buffer.alloc(8192, "abc");
  writeFileSync(join(folder, "acme", "LONGEST"), Buffer.concat([longest, Buffer.from("\r\n")]), { mode: 0o600 });
  expect(await secrets.find("acme", "LONGEST", never())).toHaveLength(8192 + 2);
  // What is cut off here would not be looked for.
  writeFileSync(join(folder, "acme", "LONGER"), Buffer.concat([longest, Buffer.from("\n\n\nabc")]), { mode: 0o600 });
  const { code, message } = await refusal(() => secrets.find("acme", "LONGER", never()));
  expect([code, message]).toEqual([
    "policy_denied",
    expect.stringContaining("secret LONGER cannot be used: its file is too long, must have at most 8192 bytes"),
  ]);
});

test.each<[string, (folder: string) => void, string]>([
  ["is not there", (at) => rmSync(at, { recursive: true }), "is not there"],
  ["may be written by others", (at) => chmodSync(at, 0o777), "can be written by others (mode 0777)"],
  [
    "is a file",
    (at) => {
      rmSync(at, { recursive: true });
      writeFileSync(at, "");
    },
    "is not a folder itself",
  ],
])("a folder that %s is the operator's mistake, named by its setting", async (_name, spoil, why) => {
  spoil(folder);
  const { code, message } = await refusal(dbUrl);
  expect(code).toBe("validation");
  expect(message).toContain(`TOOL_EXECUTOR_SECRETS: ${folder} ${why}`);
});
