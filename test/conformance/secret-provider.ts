import { describe, expect, test } from "vitest";
import type { SecretProvider } from "../../src/ports/secret-provider.ts";

/** A provider, and the operator's way to put something into it. */
export interface ProviderUnderTest extends Disposable {
  readonly provider: SecretProvider;
  put(tenantId: string, name: string, value: string): void;
}

/** What every provider of secrets promises, wherever they are kept. */
export function secretProviderConformance(name: string, open: () => ProviderUnderTest): void {
  const text = (found: Uint8Array | null): string | null => (found === null ? null : Buffer.from(found).toString());

  describe(`${name} is a SecretProvider`, () => {
    test("gives a tenant its own value, as it was put", () => {
      using secrets = open();
      secrets.put("acme", "DB_URL", "postgres://é:x@db/\n");
      expect(text(secrets.provider.find("acme", "DB_URL"))).toBe("postgres://é:x@db/\n");
    });

    test("has null for a name and for a tenant that it does not know", () => {
      using secrets = open();
      secrets.put("acme", "DB_URL", "value of acme");
      expect(secrets.provider.find("acme", "DB_URI")).toBeNull();
      expect(secrets.provider.find("other", "DB_URL")).toBeNull();
    });

    test("keeps apart tenants and names that look alike", () => {
      using secrets = open();
      const keys = ["a", "a-b", "a_b", "a_2Db", "A", "a__b", "a-"].flatMap((tenant) =>
        ["X", "_X", "__X", "b__X", "x"].map((each) => [tenant, each] as const),
      );
      for (const [tenant, each] of keys) secrets.put(tenant, each, `value ${tenant} ${each}`);
      for (const [tenant, each] of keys)
        expect(text(secrets.provider.find(tenant, each))).toBe(`value ${tenant} ${each}`);
    });

    test.each(["../acme/DB_URL", "../other", "..", ".", "*", "DB_*", "DB_URL/", "", "constructor", "DB-URL", "1X"])(
      "leads nowhere by the name %j",
      (each) => {
        using secrets = open();
        secrets.put("acme", "DB_URL", "value of acme");
        secrets.put("other", "DB_URL", "value of other");
        expect(secrets.provider.find("acme", each)).toBeNull();
      },
    );

    test.each(["../acme", "..", ".", "", "acme/", "*", "__proto__"])("leads nowhere by the tenant %j", (tenant) => {
      using secrets = open();
      secrets.put("acme", "DB_URL", "value of acme");
      expect(secrets.provider.find(tenant, "DB_URL")).toBeNull();
    });

    test("sees what is changed at the next call", () => {
      using secrets = open();
      expect(secrets.provider.find("acme", "DB_URL")).toBeNull();
      secrets.put("acme", "DB_URL", "the first value");
      secrets.provider.find("acme", "DB_URL");
      secrets.put("acme", "DB_URL", "the second value");
      expect(text(secrets.provider.find("acme", "DB_URL"))).toBe("the second value");
    });
  });
}
