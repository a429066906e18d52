import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { secretsFolder } from "../../src/adapters/disk/secrets-folder.ts";
import { vaultSecrets } from "../../src/adapters/vault/vault-secrets.ts";
import { environmentSecrets, secretVariable } from "../../src/secrets/environment-secrets.ts";
import { vaultDouble } from "../support/vault-double.ts";
import { secretProviderConformance } from "./secret-provider.ts";

secretProviderConformance("environment", async () => {
  const env: Record<string, string> = {};
  return {
    provider: environmentSecrets(env),
    async put(tenantId, name, value) {
      env[secretVariable(tenantId, name)] = value;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
});

secretProviderConformance("folder", async () => {
  const folder = mkdtempSync(join(tmpdir(), "toolx-secrets-"));
  return {
    provider: secretsFolder(folder, "SECRETS"),
    async put(tenantId, name, value) {
      mkdirSync(join(folder, tenantId), { recursive: true, mode: 0o700 });
      writeFileSync(join(folder, tenantId, name), value, { mode: 0o600 });
    },
    [Symbol.asyncDispose]: async () => rmSync(folder, { recursive: true }),
  };
});

secretProviderConformance("vault", async () => {
  const vault = await vaultDouble();
  return {
    provider: vaultSecrets(vault.address, null),
    async put(tenantId, name, value) {
      vault.entries.set(`secret/data/tool-executor/${tenantId}/${name}`, { value });
    },
    [Symbol.asyncDispose]: () => vault[Symbol.asyncDispose](),
  };
});
