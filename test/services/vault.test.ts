import { beforeAll, describe, expect, test } from "vitest";
import type { VaultAddress, VaultLogin } from "../../src/adapters/vault/vault-address.ts";
import { vaultSecrets } from "../../src/adapters/vault/vault-secrets.ts";
import { secretProviderConformance } from "../conformance/secret-provider.ts";
import { openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { never } from "../support/samples.ts";
import { startServer } from "../support/server.ts";
import { startOpenbao } from "../support/services.ts";
import { startToxiproxy } from "../support/toxiproxy.ts";
import { until } from "../support/until.ts";

const bao = forThisFile(startOpenbao);

const token = "s3cr3t-T0ken-0123456789a";

/** What an operator does: the way of Vault's own command line. */
async function told(method: "POST" | "DELETE", path: string, body: object = {}): Promise<string> {
  const answer = await fetch(`${bao().url}/v1/${path}`, {
    method,
    headers: { "X-Vault-Token": bao().rootToken },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text;
}

const put = async (tenantId: string, name: string, value: string, prefix = "tool-executor"): Promise<void> => {
  await told("POST", `secret/data/${prefix}/${tenantId}/${name}`, { data: { value } });
};

/** @param tenantId the only one whose entries it may read. */
async function tokenFor(tenantId: string): Promise<string> {
  const policy = `path "secret/data/tool-executor/${tenantId}/*" { capabilities = ["read"] }`;
  await told("POST", `sys/policies/acl/only-${tenantId}`, { policy });
  const { auth } = JSON.parse(await told("POST", "auth/token/create", { policies: [`only-${tenantId}`] }));
  return auth.client_token;
}

const addressWith = (login: VaultLogin): VaultAddress => ({
  ...{ url: bao().url, namespace: null, caPath: null, mount: "secret", prefix: "tool-executor", login },
});

async function found(address: VaultAddress, tenantId: string, name: string): Promise<string | null> {
  const bytes = await vaultSecrets(address, null).find(tenantId, name, never());
  return bytes === null ? null : Buffer.from(bytes).toString();
}

let prefixCount = 0;

secretProviderConformance("OpenBao", async () => {
  prefixCount += 1;
  const prefix = `conformance/${prefixCount}`;
  return {
    provider: vaultSecrets({ ...addressWith({ kind: "token", token: bao().rootToken }), prefix }, null),
    put: (tenantId, name, value) => put(tenantId, name, value, prefix),
    [Symbol.asyncDispose]: async () => undefined,
  };
});

describe("on a real server", () => {
  let ofAcme: VaultAddress;
  beforeAll(async () => {
    await put("acme", "API_TOKEN", token);
    await put("other", "API_TOKEN", "only-the-others-know");
    ofAcme = addressWith({ kind: "token", token: await tokenFor("acme") });
  });

  test("a token that may read one tenant's entries reads no other's", async () => {
    expect(await found(ofAcme, "acme", "API_TOKEN")).toBe(token);
    expect(await found(ofAcme, "acme", "NOT_THERE")).toBeNull();
    await expect(found(ofAcme, "other", "API_TOKEN")).rejects.toMatchObject({
      code: "policy_denied",
      message: "secret API_TOKEN cannot be used: the secret store does not let the executor read it",
    });
  });

  test("a deleted entry is not there, and an old version is nobody's", async () => {
    await put("acme", "GONE", "the first value");
    await put("acme", "GONE", "the second value");
    expect(await found(ofAcme, "acme", "GONE")).toBe("the second value");
    await told("DELETE", "secret/data/tool-executor/acme/GONE");
    expect(await found(ofAcme, "acme", "GONE")).toBeNull();
  });

  test("an AppRole logs in, again when its token was taken back, and not with another secret ID", async () => {
    await told("POST", "sys/auth/approle", { type: "approle" });
    await tokenFor("acme");
    await told("POST", "auth/approle/role/executor", { token_policies: ["only-acme"], token_ttl: "10m" });
    const headers = { "X-Vault-Token": bao().rootToken };
    const asked = await fetch(`${bao().url}/v1/auth/approle/role/executor/role-id`, { headers });
    const roleId: string = JSON.parse(await asked.text()).data.role_id;
    const { data } = JSON.parse(await told("POST", "auth/approle/role/executor/secret-id"));
    const login = { kind: "approle", roleId, secretId: { kind: "text", text: data.secret_id } } as const;
    const provider = vaultSecrets(addressWith(login), null);
    expect(await provider.find("acme", "API_TOKEN", never())).toEqual(Buffer.from(token));
    const accessors = await fetch(`${bao().url}/v1/auth/token/accessors?list=true`, { headers });
    for (const accessor of JSON.parse(await accessors.text()).data.keys) {
      const { data: one } = JSON.parse(await told("POST", "auth/token/lookup-accessor", { accessor }));
      if (one.display_name === "approle") await told("POST", "auth/token/revoke-accessor", { accessor });
    }
    expect(await provider.find("acme", "API_TOKEN", never())).toEqual(Buffer.from(token));
    await expect(
      found(addressWith({ ...login, secretId: { kind: "text", text: "another" } }), "acme", "API_TOKEN"),
    ).rejects.toMatchObject({ code: "internal", away: "secrets", isBarred: true });
  });

  test.each<[string, (address: VaultAddress) => VaultAddress, RegExp]>([
    ["a token", (address) => ({ ...address, login: { kind: "token", token: "another" } }), /does not accept the token/],
    [
      "an engine",
      (address) => ({ ...address, mount: "nowhere", login: { kind: "token", token: bao().rootToken } }),
      /has no engine at nowhere/,
    ],
  ])("%s that it does not know bars us", async (_name, changed, message) => {
    await expect(found(changed(ofAcme), "acme", "API_TOKEN")).rejects.toMatchObject({
      ...{ code: "internal", away: "secrets", isBarred: true },
      message: expect.stringMatching(message),
    });
  });

  test("toolx run --secret gives a task its tenant's value, and nothing that is told of it has the value", async () => {
    await put("default", "API_TOKEN", token);
    await using toolx = await openCli();
    const env = { VAULT_ADDR: bao().url, VAULT_TOKEN: await tokenFor("default") };
    const command = `[ "$API_TOKEN" = ${token.slice(0, 6)}"${token.slice(6)}" ] && echo same; echo "in: $API_TOKEN"`;
    const result = await toolx.result(["run", "shell", "--secret", "API_TOKEN", "--", command], { env });
    expect(result).toMatchObject({ reason: "ok", output: { stdout: "same\nin: [redacted:API_TOKEN]\n" } });
    expect(JSON.stringify(result)).not.toContain(token);

    const missing = await toolx.run(["run", "shell", "--secret", "NOWHERE", "--", "true"], { env });
    expect([missing.code, missing.stdout]).toEqual([2, ""]);
    expect(missing.stderr).toContain("policy_denied: tenant default has no secret NOWHERE");

    const barred = await toolx.run(["run", "shell", "--secret", "API_TOKEN", "--", "true"], {
      env: { ...env, VAULT_TOKEN: "another-token-of-nobody" },
    });
    expect([barred.code, barred.stdout]).toEqual([125, ""]);
    expect(barred.stderr).toContain(`the secret store ${bao().url}: it does not accept the token (403)`);
    expect(barred.stderr).not.toContain("another-token");
    expect(await toolx.leftovers()).toEqual([]);
  });

  test("a server whose store of secrets goes away refuses new tasks for now, and begins those it has when it is back", async () => {
    await put("default", "API_TOKEN", token);
    await using proxy = await startToxiproxy(bao(), 8200);
    await using toolx = await openCli();
    const env = {
      ...{ VAULT_ADDR: `http://localhost:${proxy.port}`, VAULT_TOKEN: await tokenFor("default") },
      TOOL_EXECUTOR_MAX_WORKERS: "1",
    };
    const server = await startServer(toolx, env);
    const secrets = [{ name: "API_TOKEN", as: "env" }];
    const call = (id: string, command: string, more: object = {}) => ({
      ...{ task_id: id, tool_name: "shell", payload: { command } },
      ...more,
    });
    // The one slot is taken, so the second is in the queue when its secret can no longer be had.
    await server.submit(call("first", "sleep 3"));
    await server.submit(call("second", 'echo "in: $API_TOKEN"', { secrets }));
    await proxy.cut();
    const refused = await server.submit(call("third", "true", { secrets }));
    expect(refused.status).toBe(503);
    expect(JSON.parse(refused.body.toString())).toMatchObject({ code: "unavailable", retryable: true });
    const attempt = async (): Promise<number> =>
      JSON.parse((await server.ask("/v1/tasks/second")).body.toString()).attempt;
    await until("it was tried and given back", async () => (await attempt()) > 1, 60_000);
    await proxy.mend();
    expect(await server.result("second")).toMatchObject({
      reason: "ok",
      output: { stdout: "in: [redacted:API_TOKEN]\n" },
    });
    // The operator reads why, and the caller only that.
    expect(server.process.stderr()).toMatch(/the secret store [^"]*cannot be reached[^\n]*secrets\.away/);
    expect(server.process.stderr()).toContain("secrets.back");
    expect(server.process.stderr()).not.toContain(env.VAULT_TOKEN);
    expect(refused.body.toString()).not.toContain(env.VAULT_ADDR);
    server.process.child.kill("SIGTERM");
    await server.process.ended();
    expect(await toolx.leftovers()).toEqual([]);
  });
});
