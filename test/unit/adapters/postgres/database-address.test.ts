import { describe, expect, test } from "vitest";
import { addressText, parseDatabaseUrl, shownDatabaseUrl } from "../../../../src/adapters/postgres/database-address.ts";

describe("the address of a database", () => {
  test("is read in all its parts, escapes undone", () => {
    expect(parseDatabaseUrl("postgresql://m%40e:p%2Fw@db.example:6000/to%20ols")).toEqual({
      host: "db.example",
      port: 6000,
      database: "to ols",
      user: "m@e",
      password: "p/w",
      tls: { kind: "disable" },
    });
  });

  test.each([
    ["postgres://me@host/db", { host: "host", port: 5432, password: "" }],
    ["postgres://me:x@[::1]/db", { host: "::1" }],
    ["postgres://me@localhost/db?host=/var/run/postgresql", { host: "/var/run/postgresql" }],
    ["postgres://me@host/db?sslmode=require", { tls: { kind: "require" } }],
    ["postgres://me@host/db?sslmode=verify-full", { tls: { kind: "verify-full", caFile: null } }],
    [
      "postgres://me@host/db?sslmode=verify-full&sslrootcert=/ca.crt",
      { tls: { kind: "verify-full", caFile: "/ca.crt" } },
    ],
  ])("%s", (url, parts) => {
    expect(parseDatabaseUrl(url)).toMatchObject(parts);
  });

  test.each([
    ["no address", "somewhere"],
    ["another protocol", "mysql://me@host/db"],
    ["no user", "postgres://host/db"],
    ["no database", "postgres://me@host/"],
    ["no host", "postgres://me@/db"],
    ["a parameter that is not known", "postgres://me@host/db?pool=8"],
    ["a parameter twice", "postgres://me@host/db?sslmode=require&sslmode=disable"],
    ["a mode that asks for TLS only if it pleases", "postgres://me@host/db?sslmode=prefer"],
    ["a certificate that nothing is compared with", "postgres://me@host/db?sslmode=require&sslrootcert=/ca.crt"],
    ["a certificate without a place", "postgres://me@host/db?sslmode=verify-full&sslrootcert=ca.crt"],
    ["an escape that is none", "postgres://me:%ff@host/db"],
    ["a NUL", "postgres://me@host/db%00"],
  ])("is refused: %s", (_name, url) => {
    expect(parseDatabaseUrl(url)).toBeNull();
  });

  test("is named without user and password, and shown without the password", () => {
    const url = "postgres://me:hunter2@[::1]/db?sslmode=require";
    const address = parseDatabaseUrl(url);
    expect(address && addressText(address)).toBe("[::1]:5432/db");
    expect(shownDatabaseUrl(url)).toBe("postgres://me:***@[::1]/db?sslmode=require");
    expect(shownDatabaseUrl("postgres://me@host/db")).toBe("postgres://me@host/db");
  });
});
