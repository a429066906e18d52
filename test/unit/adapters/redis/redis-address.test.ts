import { describe, expect, test } from "vitest";
import { parseRedisUrl, redisText, shownRedisUrl } from "../../../../src/adapters/redis/redis-address.ts";

const plain = { host: "r", port: 6379, database: 0, user: null, password: null, tls: false };

describe("an address of a Redis", () => {
  test.each([
    ["redis://r", plain],
    ["redis://r/", plain],
    ["redis://r:7000/3", { ...plain, port: 7000, database: 3 }],
    ["rediss://r", { ...plain, tls: true }],
    ["redis://:p%2Fw@r", { ...plain, password: "p/w" }],
    ["redis://me:pw@r", { ...plain, user: "me", password: "pw" }],
    ["redis://[::1]:6380", { ...plain, host: "::1", port: 6380 }],
  ])("%s", (text, address) => {
    expect(parseRedisUrl(text)).toEqual(address);
  });

  test.each([
    "",
    "r:6379",
    "http://r",
    "redis://",
    "redis://r/x",
    "redis://r/1/2",
    "redis://r?db=1",
    "redis://r#1",
    "redis://%E0:x@r",
  ])("is not %j", (text) => {
    expect(parseRedisUrl(text)).toBeNull();
  });

  test("is shown without its password, and named without user and password", () => {
    expect(shownRedisUrl("rediss://me:hunter2@r:1/2")).toBe("rediss://me:***@r:1/2");
    expect(shownRedisUrl("hunter2")).toBe("***");
    const address = parseRedisUrl("redis://me:hunter2@[::1]:6380/2");
    expect(address && redisText(address)).toBe("[::1]:6380/2");
  });
});
