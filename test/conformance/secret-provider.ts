import { describe, expect, test } from "vitest";
import type { SecretProvider } from "../../src/ports/secret-provider.ts";
import { never } from "../support/samples.ts";

/** A provider, and the operator's way to put something into it. */
export interface ProviderUnderTest extends AsyncDisposable {
  readonly provider: SecretProvider;
  put(tenantId: string, name: string, value: string): Promise<void>;
}

/** What every provider of secrets promises, wherever they are kept. */
export function secretProviderConformance(name: string, open: () => Promise<ProviderUnderTest>): void {
  const found = async ({ provider }: ProviderUnderTest, tenantId: string, each: string): Promise<string | null> => {
    const value = await provider.find(tenantId, each, never());
    return value === null ? null : Buffer.from(value).toString();
  };

  describe(`${name} is a SecretProvider`, () => {
    test("gives a tenant its own value, as it was put", async () => {
      await using secrets = await open();
      await secrets.put("acme", "DB_URL", "postgres://é:x@db/\n");
      expect(await found(secrets, "acme", "DB_URL")).toBe("postgres://é:x@db/\n");
    });

    test("has null for a name and for a tenant that it does not know", async () => {
      await using secrets = await open();
      await secrets.put("acme", "DB_URL", "value of acme");
      expect(await found(secrets, "acme", "DB_URI")).toBeNull();
      expect(await found(secrets, "other", "DB_URL")).toBeNull();
    });

    test("keeps apart tenants and names that look alike", async () => {
      await using secrets = await open();
      const keys = ["a", "a-b", "a_b", "a_2Db", "A", "a__b", "a-"].flatMap((tenant) =>
        ["X", "_X", "__X", "b__X", "x"].map((each) => [tenant, each] as const),
      );
      for (const [tenant, each] of keys) await secrets.put(tenant, each, `value ${tenant} ${each}`);
      for (const [tenant, each] of keys) expect(await found(secrets, tenant, each)).toBe(`value ${tenant} ${each}`);
    });

    test.each(["../acme/DB_URL", "../other", "..", ".", "*", "DB_*", "DB_URL/", "", "constructor", "DB-URL", "1X"])(
      "leads nowhere by the name %j",
      async (each) => {
        await using secrets = await open();
        await secrets.put("acme", "DB_URL", "value of acme");
        await secrets.put("other", "DB_URL", "value of other");
        expect(await found(secrets, "acme", each)).toBeNull();
      },
    );

    test.each(["../acme", "..", ".", "", "acme/", "*", "__proto__"])(
      "leads nowhere by the tenant %j",
      async (tenant) => {
        await using secrets = await open();
        await secrets.put("acme", "DB_URL", "value of acme");
        expect(await found(secrets, tenant, "DB_URL")).toBeNull();
      },
    );

    test("sees what is changed at the next call", async () => {
      await using secrets = await open();
      expect(await found(secrets, "acme", "DB_URL")).toBeNull();
      await secrets.put("acme", "DB_URL", "the first value");
      await found(secrets, "acme", "DB_URL");
      await secrets.put("acme", "DB_URL", "the second value");
      expect(await found(secrets, "acme", "DB_URL")).toBe("the second value");
    });
  });
}
