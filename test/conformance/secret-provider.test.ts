import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { secretsFolder } from "../../src/adapters/disk/secrets-folder.ts";
import { environmentSecrets, secretVariable } from "../../src/secrets/environment-secrets.ts";
import { secretProviderConformance } from "./secret-provider.ts";

secretProviderConformance("environment", () => {
  const env: Record<string, string> = {};
  return {
    provider: environmentSecrets(env),
    put(tenantId, name, value) {
      env[secretVariable(tenantId, name)] = value;
    },
    [Symbol.dispose]: () => undefined,
  };
});

secretProviderConformance("folder", () => {
  const folder = mkdtempSync(join(tmpdir(), "toolx-secrets-"));
  return {
    provider: secretsFolder(folder, "SECRETS"),
    put(tenantId, name, value) {
      mkdirSync(join(folder, tenantId), { recursive: true, mode: 0o700 });
      writeFileSync(join(folder, tenantId, name), value, { mode: 0o600 });
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
});
