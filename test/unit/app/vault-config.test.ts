import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Config, loadConfig } from "../../../src/app/config.ts";
import { openVault } from "../../../src/app/vault-config.ts";
import { configJson, configTable } from "../../../src/cli/config.ts";

const load = (env: Readonly<Record<string, string>> = {}): Config =>
  loadConfig("/nowhere", { TOOL_EXECUTOR_DATA: join("/nowhere", "data"), ...env });

const vault = (env: Readonly<Record<string, string>>) =>
  load({ VAULT_ADDR: "https://vault:8200/", ...env }).secrets.vault;

const token = "hvs.the-token-that-nobody-may-see";

test("without an address there is none, whatever else stands there for other programs", () => {
  expect(load().secrets.vault).toBeNull();
  expect(load({ VAULT_TOKEN: token, VAULT_NAMESPACE: "admin" }).secrets.vault).toBeNull();
});

test("with an address alone, the rest is as it is usual, and nothing is shown to it", () => {
  expect(vault({})).toEqual({
    ...{ url: "https://vault:8200", namespace: null, caPath: null, mount: "secret", prefix: "tool-executor" },
    login: null,
  });
});

test.each<[string, Readonly<Record<string, string>>, object]>([
  ["a token", { VAULT_TOKEN: token }, { kind: "token", token }],
  ["a token in a file", { VAULT_TOKEN_FILE: "/run/token" }, { kind: "token_file", path: "/run/token" }],
  ["an AppRole alone", { VAULT_ROLE_ID: "r" }, { kind: "approle", roleId: "r", secretId: { kind: "none" } }],
  [
    "an AppRole with its secret ID",
    { VAULT_ROLE_ID: "r", VAULT_SECRET_ID: "s" },
    { kind: "approle", roleId: "r", secretId: { kind: "text", text: "s" } },
  ],
  [
    "an AppRole with its secret ID in a file",
    { VAULT_ROLE_ID: "r", VAULT_SECRET_ID_FILE: "/run/id" },
    { kind: "approle", roleId: "r", secretId: { kind: "file", path: "/run/id" } },
  ],
])("the executor shows %s", (_name, env, login) => {
  expect(vault(env)).toMatchObject({ login });
});

test("slashes around a path are nobody's", () => {
  const env = { VAULT_NAMESPACE: "/team/a/", VAULT_KV_MOUNT: "kv/apps/", VAULT_KV_PREFIX: "/" };
  expect(vault(env)).toMatchObject({ namespace: "team/a", mount: "kv/apps", prefix: "" });
  expect(vault({ VAULT_NAMESPACE: "/" })).toMatchObject({ namespace: null });
});

describe("what is not allowed stops the start", () => {
  test.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ["an address without a scheme", { VAULT_ADDR: "vault:8200" }, /VAULT_ADDR .* must be http\(s\):\/\/host:port/],
    ["an address with a user", { VAULT_ADDR: "https://me:x@vault:8200" }, /VAULT_ADDR/],
    ["an address with a question", { VAULT_ADDR: "https://vault:8200/?x" }, /VAULT_ADDR/],
    ["no mount", { VAULT_KV_MOUNT: "/" }, /VAULT_KV_MOUNT/],
    ["a path that leads up", { VAULT_KV_PREFIX: "a/../b" }, /VAULT_KV_PREFIX/],
    ["a path with a percent sign", { VAULT_KV_MOUNT: "a%2Fb" }, /VAULT_KV_MOUNT/],
    ["two ways in", { VAULT_TOKEN: token, VAULT_ROLE_ID: "r" }, /^VAULT_TOKEN and VAULT_ROLE_ID are set, must be one/],
    [
      "two secret IDs",
      { VAULT_ROLE_ID: "r", VAULT_SECRET_ID: token, VAULT_SECRET_ID_FILE: "/x" },
      /^VAULT_SECRET_ID and VAULT_SECRET_ID_FILE are set, must be one/,
    ],
    ["a token with a space", { VAULT_TOKEN: `${token} x` }, /^VAULT_TOKEN in the environment must be/],
  ])("%s", (_name, env, message) => {
    let said = "";
    try {
      vault(env);
    } catch (error) {
      said = error instanceof Error ? error.message : String(error);
    }
    expect(said).toMatch(message);
    expect(said).not.toContain(token);
  });
});

test("what it is shown is never printed", () => {
  const { settings } = load({
    VAULT_ADDR: "https://vault:8200",
    VAULT_ROLE_ID: "r-hidden",
    VAULT_SECRET_ID: "s-hidden",
  });
  const { settings: others } = load({ VAULT_ADDR: "https://vault:8200", VAULT_TOKEN: "t-hidden" });
  const printed = [settings, others].map((rows) => configJson(rows) + configTable(rows)).join("");
  expect(printed).toContain("https://vault:8200");
  expect(printed).not.toContain("-hidden");
});

test("certificates that cannot be read, or are none, stop the start", async () => {
  const address = vault({ VAULT_CACERT: "/nowhere/ca.pem" });
  if (address === null) throw new Error("there is a vault");
  await expect(openVault(address)).rejects.toThrow("VAULT_CACERT: /nowhere/ca.pem cannot be read");
  const folder = mkdtempSync(join(tmpdir(), "vault-"));
  try {
    const caPath = join(folder, "ca.pem");
    writeFileSync(caPath, "nothing of the kind");
    await expect(openVault({ ...address, caPath })).rejects.toThrow("must hold certificates (PEM)");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
