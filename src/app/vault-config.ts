import { readFileSync } from "node:fs";
import type { SecretId, VaultAddress, VaultLogin } from "../adapters/vault/vault-address.ts";
import { ExecutorError } from "../model/failure.ts";
import type { SecretProvider } from "../ports/secret-provider.ts";
import { type Setting, settings } from "./config-schema.ts";

/** The value of a setting, wherever it comes from. */
type ValueOf = <Value extends string | number>(setting: Setting<Value>) => Value;

/**
 * Null without an address: the other names are Vault's own, and may be there for other programs. For the same reason an address alone is no
 * fault until a task names a secret.
 * @throws ExecutorError validation, for settings that do not go together.
 */
export function vaultSettings(value: ValueOf): VaultAddress | null {
  const url = value(settings.vaultAddr);
  const found = {
    url,
    namespace: value(settings.vaultNamespace) || null,
    caPath: value(settings.vaultCaCert) || null,
    mount: value(settings.vaultMount),
    prefix: value(settings.vaultPrefix),
  };
  const ways = {
    token: value(settings.vaultToken),
    tokenFile: value(settings.vaultTokenFile),
    roleId: value(settings.vaultRoleId),
    secretId: value(settings.vaultSecretId),
    secretIdFile: value(settings.vaultSecretIdFile),
  };
  return url === "" ? null : { ...found, login: loginOf(ways) };
}

function loginOf({
  token,
  tokenFile,
  roleId,
  secretId,
  secretIdFile,
}: Readonly<Record<"token" | "tokenFile" | "roleId" | "secretId" | "secretIdFile", string>>): VaultLogin | null {
  const { vaultToken, vaultTokenFile, vaultRoleId, vaultSecretId, vaultSecretIdFile } = settings;
  refuseSeveral([
    [vaultToken, token],
    [vaultTokenFile, tokenFile],
    [vaultRoleId, roleId],
  ]);
  refuseSeveral([
    [vaultSecretId, secretId],
    [vaultSecretIdFile, secretIdFile],
  ]);
  if (token !== "") return { kind: "token", token };
  if (tokenFile !== "") return { kind: "token_file", path: tokenFile };
  if (roleId !== "") return { kind: "approle", roleId, secretId: secretIdOf(secretId, secretIdFile) };
  return null;
}

function secretIdOf(text: string, path: string): SecretId {
  if (text !== "") return { kind: "text", text };
  return path === "" ? { kind: "none" } : { kind: "file", path };
}

function refuseSeveral(ways: readonly (readonly [Setting<string>, string])[]): void {
  const names = ways.filter(([, given]) => given !== "").map(([{ name }]) => name);
  if (names.length < 2) return;
  throw new ExecutorError("validation", `${names.join(" and ")} are set, must be one of them`);
}

/** Nothing is asked of it yet. @throws ExecutorError validation, for certificates that cannot be read or are none. */
export async function openVault(address: VaultAddress): Promise<SecretProvider> {
  const { vaultSecrets } = await import("../adapters/vault/vault-secrets.ts");
  return vaultSecrets(address, address.caPath === null ? null : certificates(address.caPath));
}

function certificates(path: string): Buffer {
  const { name } = settings.vaultCaCert;
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new ExecutorError("validation", `${name}: ${path} cannot be read`, { cause });
  }
  if (bytes.includes("-----BEGIN CERTIFICATE-----")) return bytes;
  throw new ExecutorError("validation", `${name}: ${path} must hold certificates (PEM)`);
}
