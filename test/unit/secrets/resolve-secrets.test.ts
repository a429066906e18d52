import { describe, expect, test } from "vitest";
import { ExecutorError } from "../../../src/model/failure.ts";
import type { SecretProvider } from "../../../src/ports/secret-provider.ts";
import { environmentSecrets, secretVariable } from "../../../src/secrets/environment-secrets.ts";
import { resolveSecrets } from "../../../src/secrets/resolve-secrets.ts";
import { never } from "../../support/samples.ts";

const env = {
  TOOL_EXECUTOR_SECRET_acme__DB_URL: "postgres://first",
  TOOL_EXECUTOR_SECRET_acme__API_KEY: "key of acme\n",
  TOOL_EXECUTOR_SECRET_acme__PIN: "1a2b3",
  TOOL_EXECUTOR_SECRET_acme__EMPTY: "",
  TOOL_EXECUTOR_SECRET_team_2Da__DB_URL: "postgres://of-team-a",
};
const first = environmentSecrets(env);
const second: SecretProvider = {
  find: async (_tenant, name) => (name.startsWith("NONE") ? null : Buffer.from(`second ${name}`)),
};

async function resolved(tenant: string, names: readonly string[], providers = [first]) {
  const secrets = await resolveSecrets(providers, tenant, names, never());
  return secrets.map(({ name, value }) => [name, Buffer.from(value).toString()]);
}

async function refusal(act: () => Promise<unknown>): Promise<ExecutorError> {
  try {
    await act();
  } catch (error) {
    if (error instanceof ExecutorError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

test("a task's secrets are those of its tenant, in the order it named them, each once", async () => {
  expect(await resolved("acme", ["API_KEY", "DB_URL", "API_KEY"])).toEqual([
    ["API_KEY", "key of acme"],
    ["DB_URL", "postgres://first"],
  ]);
  expect(await resolved("team-a", ["DB_URL"])).toEqual([["DB_URL", "postgres://of-team-a"]]);
  expect(await resolved("acme", [])).toEqual([]);
});

test("of several providers the first that has a secret counts", async () => {
  expect(await resolved("acme", ["DB_URL", "OTHER"], [first, second])).toEqual([
    ["DB_URL", "postgres://first"],
    ["OTHER", "second OTHER"],
  ]);
});

describe("refused as not allowed, by the secret's name", () => {
  test.each([
    ["one that there is not", "other", ["NONE"], "tenant other has no secret NONE"],
    ["another tenant's, in the same words", "team-a", ["API_KEY"], "tenant team-a has no secret API_KEY"],
    ["one without a value", "acme", ["EMPTY"], "tenant acme has no secret EMPTY"],
    ["one that is too short", "acme", ["DB_URL", "PIN"], "secret PIN is too short, must have at least 6 bytes"],
    [
      "a path, unquoted: it may be a value",
      "acme",
      ["../acme/DB_URL"],
      "the name of a secret must be letters, digits and _",
    ],
  ])("%s", async (_name, tenant, names, message) => {
    const error = await refusal(() => resolved(tenant, names));
    expect(error.code).toBe("policy_denied");
    expect(error.message).toContain(message);
    expect(`${error.message} ${error.hint}`).not.toMatch(/1a2b3|postgres|key of|\.\./);
  });

  test("more than one task may have", async () => {
    const many = Array.from({ length: 17 }, (_, index) => `NAME_${index}`);
    expect(await resolved("acme", many.slice(1), [second])).toHaveLength(16);
    expect((await refusal(() => resolved("acme", many, [second]))).message).toBe(
      "17 secrets were asked for, at most 16",
    );
  });

  test("more bytes than one task may have, each secret being short enough", async () => {
    const large: SecretProvider = { find: async () => Buffer.alloc(8000, "abcdefg") };
    expect(await resolved("acme", ["A", "B"], [large])).toHaveLength(2);
    const { code, message } = await refusal(() => resolved("acme", ["A", "B", "C"], [large]));
    expect([code, message]).toEqual(["policy_denied", "the secrets A, B, C are longer than 16384 bytes together"]);
  });
});

test("a variable's name can be written in a shell, whatever the tenant", () => {
  expect(secretVariable("default", "DB_URL")).toBe("TOOL_EXECUTOR_SECRET_default__DB_URL");
  expect(secretVariable("a-b_c", "_X")).toBe("TOOL_EXECUTOR_SECRET_a_2Db_5Fc___X");
});
