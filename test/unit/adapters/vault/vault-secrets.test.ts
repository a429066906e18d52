import { mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { VaultAddress, VaultLogin } from "../../../../src/adapters/vault/vault-address.ts";
import { defaultVaultBounds } from "../../../../src/adapters/vault/vault-call.ts";
import { vaultSecrets } from "../../../../src/adapters/vault/vault-secrets.ts";
import { ExecutorError } from "../../../../src/model/failure.ts";
import { selfSigned } from "../../../support/certificate.ts";
import { never } from "../../../support/samples.ts";
import {
  type Answer,
  roleId,
  says,
  secretId,
  type VaultDouble,
  vaultDouble,
  vaultToken,
} from "../../../support/vault-double.ts";

const value = "postgres://nobody-may-see-this@db/";
const entry = "secret/data/tool-executor/acme/DB_URL";
const bounds = { ...defaultVaultBounds, tryMs: 300, delaysMs: [1, 1] };

let vault: VaultDouble;
let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "vault-"));
  vault = await vaultDouble();
  vault.entries.set(entry, { value });
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await vault[Symbol.asyncDispose]();
});

const provider = (differences: Partial<VaultAddress> = {}) =>
  vaultSecrets({ ...vault.address, ...differences }, null, bounds);

const found = async (from = provider(), tenant = "acme", name = "DB_URL", signal = never()): Promise<string | null> => {
  const bytes = await from.find(tenant, name, signal);
  return bytes === null ? null : Buffer.from(bytes).toString();
};

/** Everything that an error says, and whatever it was made from. */
const wholeText = (error: unknown): string =>
  error instanceof Error
    ? `${error.message} ${error instanceof ExecutorError ? `${error.hint} ${JSON.stringify(error.details)}` : ""} ${wholeText(error.cause)}`
    : String(error);

async function refusal(act: () => Promise<unknown> = found): Promise<ExecutorError> {
  const error = await act().then(
    (answer) => new Error(`it was not refused: ${JSON.stringify(answer)}`),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ExecutorError);
  for (const text of [value, vaultToken, secretId, "nobody-may-see"]) expect(wholeText(error)).not.toContain(text);
  return error as ExecutorError;
}

const linesAsked = (): readonly string[] => vault.asked.map(({ line }) => line);

describe("what is asked", () => {
  test("is the tenant's own entry, with the token in its header and nowhere else", async () => {
    expect(await found()).toBe(value);
    expect(linesAsked()).toEqual([`GET ${entry}`]);
    expect(vault.asked[0]?.headers).toMatchObject({ "x-vault-token": vaultToken, "x-vault-request": "true" });
    expect(vault.asked[0]?.headers).not.toHaveProperty("x-vault-namespace");
  });

  test.each<[string, Partial<VaultAddress>, string]>([
    ["another engine and folder", { mount: "kv/apps", prefix: "a/b" }, "GET kv/apps/data/a/b/acme/DB_URL"],
    ["the engine's top", { prefix: "" }, "GET secret/data/acme/DB_URL"],
  ])("may be in %s", async (_name, differences, line) => {
    await found(provider(differences)).catch(() => undefined);
    expect(linesAsked()).toEqual([line]);
  });

  test("may be in a namespace", async () => {
    expect(await found(provider({ namespace: "team/a" }))).toBe(value);
    expect(vault.asked[0]?.headers).toMatchObject({ "x-vault-namespace": "team/a" });
  });

  test("is nothing at all for a name or a tenant that leads elsewhere", async () => {
    for (const [tenant, name] of [
      ["acme", "../other/DB_URL"],
      ["../tool-executor/acme", "DB_URL"],
      ["acme/..", "DB_URL"],
      ["acme", "DB_URL?version=1"],
      ["acme", "DB%5FURL"],
    ] as const)
      expect(await found(provider(), tenant, name)).toBeNull();
    expect(linesAsked()).toEqual([]);
  });
});

test("an entry whose latest version is deleted is not there", async () => {
  vault.instead.push(says(404, { data: { data: null, metadata: { deletion_time: "2026-01-01T00:00:00Z" } } }));
  expect(await found()).toBeNull();
});

describe("an entry that cannot be used is refused by the secret's name", () => {
  test.each<[string, Readonly<Record<string, unknown>>, string]>([
    ["without the field", { password: value }, 'its entry has no field "value"'],
    ["with what every object has", {}, 'its entry has no field "value"'],
    ["with a number", { value: 481516234 }, 'the field "value" of its entry is no text'],
    ["with more in it", { value: { deep: value } }, 'the field "value" of its entry is no text'],
  ])("%s", async (_name, fields, why) => {
    vault.entries.set(entry, fields);
    const { code, message, hint } = await refusal();
    expect([code, message]).toEqual(["policy_denied", `secret DB_URL cannot be used: ${why}`]);
    expect(hint).toBe("the operator has to mend it");
  });

  test("which its token may not read, there or not", async () => {
    vault.closed.add("secret/data/tool-executor/acme/");
    for (const name of ["DB_URL", "NOT_THERE"]) {
      const { code, message } = await refusal(() => found(provider(), "acme", name));
      expect([code, message]).toEqual([
        "policy_denied",
        `secret ${name} cannot be used: the secret store does not let the executor read it`,
      ]);
    }
  });
});

describe("a store that may answer later is internal and away", () => {
  const hangs: Answer = () => undefined;
  const breaks: Answer = (response) => void response.socket?.destroy();
  const stops: Answer = (response) => {
    response.writeHead(200, { "Content-Length": 1000 });
    response.write('{"data":');
  };
  const cutOff: Answer = (response) => {
    response.writeHead(200, { "Content-Length": 1000 });
    response.write('{"data":', () => response.socket?.destroy());
  };

  test.each<[string, Answer, RegExp]>([
    ["sealed", says(503, { errors: ["Vault is sealed"] }), /is sealed, or not to be used now \(503\)$/],
    ["failing", says(500, { errors: [`internal error about ${value}`] }), /overloaded or failing \(500\)$/],
    ["behind a gateway that fails", says(502, "<html>"), /overloaded or failing \(502\)$/],
    ["at its quota", says(429, { errors: [] }), /overloaded or failing \(429\)$/],
    ["silent", hangs, /did not answer in time$/],
    ["silent in the middle", stops, /did not answer in time$/],
    ["broken off", breaks, /cannot be reached \(ECONNRESET\)$/],
    ["broken off in the middle", cutOff, /cannot be reached \(ECONNRESET\)$/],
  ])("%s, three times", async (_name, answer, message) => {
    vault.instead.push(answer, answer, answer);
    const error = await refusal();
    expect(error).toMatchObject({ code: "internal", away: "secrets", isAway: true, isBarred: false });
    expect(error.message).toMatch(message);
    expect(error.message).toContain(`the secret store ${vault.url}: `);
    expect(linesAsked()).toHaveLength(3);
  });

  test("not there at all", async () => {
    const gone = await vaultDouble();
    await gone[Symbol.asyncDispose]();
    const from = vaultSecrets({ ...vault.address, url: gone.url }, null, bounds);
    expect((await refusal(() => found(from))).message).toMatch(/cannot be reached \(ECONNREFUSED\)$/);
  });

  test("but one that fails twice and then answers is not told of", async () => {
    vault.instead.push(says(503, { errors: [] }), breaks);
    expect(await found()).toBe(value);
  });

  test("whoever gives up waiting is not kept", async () => {
    vault.instead.push(hangs);
    const given = new AbortController();
    const reason = new ExecutorError("cancelled", "no longer wanted");
    const asking = found(vaultSecrets(vault.address, null), "acme", "DB_URL", given.signal);
    given.abort(reason);
    await expect(asking).rejects.toBe(reason);
  });
});

describe("a store that bars us is asked once, and says who has to mend what", () => {
  const large = JSON.stringify({ data: { data: { value: value.repeat(5000) }, metadata: {} } });

  test.each<[string, Answer, RegExp, RegExp]>([
    ["no engine", says(404, { errors: ["no handler"] }), /has no engine at secret$/, /VAULT_KV_MOUNT/],
    ["version 1", says(200, { data: { value } }), /secret is no KV engine of version 2$/, /VAULT_KV_MOUNT/],
    ["another program", says(200, `<html>${value}</html>`), /secret is no KV engine/, /VAULT_KV_MOUNT/],
    ["a value on its own", says(200, JSON.stringify(value)), /secret is no KV engine/, /VAULT_KV_MOUNT/],
    ["an answer without end", says(200, large), /answer is longer than 131072 bytes$/, /Vault or OpenBao/],
    ["a status of no meaning", says(418, { errors: [value] }), /answered with status 418$/, /Vault or OpenBao/],
    ["a question it cannot read", says(400, { errors: [value] }), /answered with status 400$/, /Vault or OpenBao/],
  ])("%s", async (_name, answer, message, hint) => {
    vault.instead.push(answer);
    const error = await refusal();
    expect(error).toMatchObject({ code: "internal", away: "secrets", isBarred: true });
    expect(error.message).toMatch(message);
    expect(error.hint).toMatch(hint);
    expect(linesAsked()).toHaveLength(1);
  });

  test("that sends us elsewhere: nobody goes there, and the token does not either", async () => {
    await using elsewhere = await vaultDouble();
    elsewhere.entries.set(entry, { value });
    vault.instead.push(says(307, "", { Location: `${elsewhere.url}/v1/${entry}` }));
    const error = await refusal();
    expect(error).toMatchObject({ code: "internal", isBarred: true });
    expect(error.message).toMatch(/sends elsewhere \(307\), where nobody follows it$/);
    expect(elsewhere.asked).toEqual([]);
  });

  test("that does not know the token", async () => {
    const error = await refusal(() => found(provider({ login: { kind: "token", token: "hvs.nobody-may-see" } })));
    expect(error).toMatchObject({ code: "internal", away: "secrets", isBarred: true });
    expect(error.message).toMatch(/does not accept the token \(403\)$/);
    expect(error.hint).toMatch(/VAULT_TOKEN/);
  });

  test("that nothing can be shown to: nothing is asked", async () => {
    const error = await refusal(() => found(provider({ login: null })));
    expect(error).toMatchObject({ code: "internal", isBarred: true });
    expect(error.hint).toBe("set VAULT_TOKEN, VAULT_TOKEN_FILE or VAULT_ROLE_ID, or unset VAULT_ADDR");
    expect(linesAsked()).toEqual([]);
  });
});

describe("a token in a file", () => {
  test("is read at each question, without its end of line", async () => {
    const path = join(folder, "token");
    const from = provider({ login: { kind: "token_file", path } });
    await writeFile(path, `${vaultToken}\n`);
    expect(await found(from)).toBe(value);
    vault.tokens.clear();
    vault.tokens.add("hvs.another");
    await writeFile(path, "hvs.another");
    expect(await found(from)).toBe(value);
  });

  test.each([
    ["that is not there", null],
    ["that is empty", "\n"],
    ["of two lines", `${vaultToken}\nX-Other: ${value}`],
  ])("%s bars us, without a word of what it holds", async (_name, text) => {
    const path = join(folder, "token");
    if (text !== null) await writeFile(path, text);
    const error = await refusal(() => found(provider({ login: { kind: "token_file", path } })));
    expect(error).toMatchObject({ code: "internal", isBarred: true });
    expect(error.message).toContain(`VAULT_TOKEN_FILE: ${path}`);
    expect(linesAsked()).toEqual([]);
  });
});

describe("an AppRole", () => {
  const login: VaultLogin = { kind: "approle", roleId, secretId: { kind: "text", text: secretId } };

  test("gets a token once, and asks with it until its time is nearly over", async () => {
    const from = provider({ login });
    expect([await found(from), await found(from)]).toEqual([value, value]);
    expect(linesAsked()).toEqual(["POST auth/approle/login", `GET ${entry}`, `GET ${entry}`]);
    expect(vault.asked[0]?.headers).not.toHaveProperty("x-vault-token");
    expect(vault.asked[1]?.headers["x-vault-token"]).toMatch(/-of-the-role$/);
  });

  test("gets another when the time of the first is over", async () => {
    await using brief = await vaultDouble({ leaseSeconds: 0 });
    brief.entries.set(entry, { value });
    const from = vaultSecrets({ ...brief.address, login }, null, bounds);
    expect([await found(from), await found(from)]).toEqual([value, value]);
    expect(brief.asked.filter(({ line }) => line === "POST auth/approle/login")).toHaveLength(2);
  });

  test("gets another when the first was taken back", async () => {
    const from = provider({ login });
    await found(from);
    vault.tokens.clear();
    expect(await found(from)).toBe(value);
  });

  test("that may not read an entry is told apart from one that is not known, with one more login and no end to it", async () => {
    const from = provider({ login });
    await found(from);
    vault.closed.add(entry);
    expect(await refusal(() => found(from))).toMatchObject({ code: "policy_denied" });
    expect(linesAsked().filter((line) => line.startsWith("POST"))).toHaveLength(2);
  });

  test("may have its secret ID in a file", async () => {
    const path = join(folder, "secret-id");
    await writeFile(path, `${secretId}\n`);
    expect(await found(provider({ login: { ...login, secretId: { kind: "file", path } } }))).toBe(value);
  });

  test.each<[string, VaultLogin]>([
    ["with another secret ID", { ...login, secretId: { kind: "text", text: "nobody-may-see-this-either" } }],
    ["without its secret ID", { ...login, secretId: { kind: "none" } }],
  ])("%s bars us", async (_name, other) => {
    const error = await refusal(() => found(provider({ login: other })));
    expect(error).toMatchObject({ code: "internal", isBarred: true });
    expect(error.message).toMatch(/does not accept the AppRole \(400\)$/);
  });
});

describe("over TLS", () => {
  async function tlsVault() {
    const certificate = await selfSigned();
    const [key, cert] = await Promise.all([readFile(certificate.keyPath), readFile(certificate.certPath)]);
    const seen: string[] = [];
    const server = createTlsServer({ key, cert }, (request, response) => {
      seen.push(String(request.headers["x-vault-token"]));
      response.end(JSON.stringify({ data: { data: { value }, metadata: {} } }));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return {
      url: `https://localhost:${port}`,
      ...{ cert, seen },
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
        await certificate[Symbol.asyncDispose]();
      },
    };
  }

  test("it is spoken to when its certificate is trusted", async () => {
    await using tls = await tlsVault();
    expect(await found(vaultSecrets({ ...vault.address, url: tls.url }, tls.cert, bounds))).toBe(value);
  });

  test("it is told nothing when it is not", async () => {
    await using tls = await tlsVault();
    const error = await refusal(() => found(vaultSecrets({ ...vault.address, url: tls.url }, null, bounds)));
    expect(error).toMatchObject({ code: "internal", isBarred: true });
    expect(error.message).toMatch(/its certificate is not trusted/);
    expect(error.hint).toMatch(/VAULT_CACERT/);
    expect(tls.seen).toEqual([]);
  });
});
