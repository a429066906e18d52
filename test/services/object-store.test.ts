import { createHash } from "node:crypto";
import { Client } from "minio";
import { describe, expect, test } from "vitest";
import type { S3Address } from "../../src/adapters/s3/s3-address.ts";
import { s3ObjectStore } from "../../src/adapters/s3/s3-object-store.ts";
import { objectStoreConformance } from "../conformance/object-store.ts";
import { startFaultyProxy } from "../support/faulty-proxy.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { never } from "../support/samples.ts";
import { type S3Server, startMinio, startVersitygw } from "../support/services.ts";
import { startToxiproxy } from "../support/toxiproxy.ts";

const servers = [
  ["MinIO", forThisFile(startMinio), 9000],
  ["versitygw", forThisFile(startVersitygw), 7070],
] as const;

let buckets = 0;

/** A bucket of its own, and the plain client of the server. */
async function freshBucket(server: S3Server): Promise<{ readonly address: S3Address; readonly s3: Client }> {
  const { hostname: host, port } = new URL(server.url);
  const { accessKey, secretKey } = server;
  const s3 = new Client({
    endPoint: host,
    port: Number(port),
    useSSL: false,
    region: "us-east-1",
    accessKey,
    secretKey,
  });
  buckets += 1;
  const bucket = `bucket-${buckets}`;
  await s3.makeBucket(bucket);
  const endpoint = { host, port: Number(port), tls: false };
  return { address: { endpoint, bucket, region: "us-east-1", accessKey, secretKey }, s3 };
}

const bounds = { stallMs: 1000, retryMs: 500, putRetryMs: 500 };
const mib = 1024 * 1024;

async function* pieces(count: number, bytes: number): AsyncGenerator<Uint8Array> {
  const piece = Buffer.alloc(bytes, "a piece ");
  for (let sent = 0; sent < count; sent++) yield piece;
}

async function digest(body: AsyncIterable<Uint8Array> | null): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of body ?? []) hash.update(chunk);
  return hash.digest("hex");
}

describe.each(servers)("on %s", (name, server, inside) => {
  objectStoreConformance(`s3 (${name})`, async () => s3ObjectStore((await freshBucket(server())).address));

  test("the parts of an upload whose process died are swept when they are old enough", async () => {
    const { address, s3 } = await freshBucket(server());
    await using store = s3ObjectStore(address);
    await s3.initiateNewMultipartUpload(address.bucket, "tasks/acme/t-1/1/artifacts.tar", {});
    await s3.initiateNewMultipartUpload(address.bucket, "tasks/acme/t-2/1/artifacts.tar", {});
    expect(await store.sweep(60_000, never())).toBe(0);
    await store.remove("tasks/acme/t-1", never());
    const { uploads } = await s3.listIncompleteUploadsQuery(address.bucket, "", "", "", "");
    expect(uploads.map(({ key }) => key)).toEqual(["tasks/acme/t-2/1/artifacts.tar"]);
    expect(await store.sweep(-60_000, never())).toBe(1);
    expect(await store.sweep(-60_000, never())).toBe(0);
  });

  test("1 GiB goes in and comes out whole, with memory growing by less than 64 MiB", { timeout: 300_000 }, async () => {
    await using store = s3ObjectStore((await freshBucket(server())).address);
    await store.put("small", pieces(32, mib), never());
    await digest(await store.get("small", never()));
    const before = process.memoryUsage().rss;
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss);
    }, 20);
    expect((await store.put("large", pieces(1024, mib), never())).sizeBytes).toBe(1024 * mib);
    const put = most - before;
    expect(await digest(await store.get("large", never()))).toBe(await digest(pieces(1024, mib)));
    clearInterval(watch);
    expect(put / mib).toBeLessThan(64);
  });

  test("a server that is away, silent or cut off is one clear failure in bounded time, and works again after", async () => {
    const { address } = await freshBucket(server());
    await using proxy = await startToxiproxy(server(), inside);
    const through = { ...address, endpoint: { ...address.endpoint, port: proxy.port } };
    await using store = s3ObjectStore(through, bounds);
    const place = `in the object store http://${address.endpoint.host}:${proxy.port}/${address.bucket}: `;
    const failing = { code: "internal", message: expect.stringContaining(place), hint: expect.any(String) };
    await store.put("key", pieces(1, 100), never());
    for (const [fault, why] of [
      ["cut", /it cannot be reached|the connection broke/],
      ["blackHole", /nothing was heard of it for too long/],
    ] as const) {
      await proxy[fault]();
      const startedAt = performance.now();
      await expect(store.put("key", pieces(20, mib), never())).rejects.toMatchObject(failing);
      await expect(store.get("key", never())).rejects.toThrow(why);
      expect(performance.now() - startedAt).toBeLessThan(15_000);
      await proxy.mend();
      expect((await store.list("key", never()))[0]?.sizeBytes).toBe(100);
    }
  });

  test("an upload that was completed, but whose answer was lost, is there", async () => {
    const { address } = await freshBucket(server());
    const isCompletion = (method: string, path: string): boolean => method === "POST" && /[?&]uploadId=/.test(path);
    await using proxy = await startFaultyProxy(new URL(server().url), isCompletion, "answer lost");
    const endpoint = { ...address.endpoint, port: proxy.port };
    await using store = s3ObjectStore({ ...address, endpoint }, { ...bounds, putRetryMs: 10_000 });
    expect(await store.put("key", pieces(20, mib), never())).toEqual({ key: "key", sizeBytes: 20 * mib });
    expect(proxy.picked()).toBeGreaterThanOrEqual(2);
    expect(await digest(await store.get("key", never()))).toBe(await digest(pieces(20, mib)));
  });

  test.each([
    ["of many", 20],
    ["that is all", 1],
  ])("a part %s which arrives other than it was sent is sent again", async (_name, count) => {
    const { address } = await freshBucket(server());
    const isPart = (method: string, path: string): boolean =>
      method === "PUT" && (count === 1 || /[?&]partNumber=2(&|$)/.test(path));
    await using proxy = await startFaultyProxy(new URL(server().url), isPart, "bit turned");
    await using store = s3ObjectStore({ ...address, endpoint: { ...address.endpoint, port: proxy.port } }, bounds);
    await store.put("key", pieces(count, mib), never());
    expect(proxy.picked()).toBe(2);
    expect(await digest(await store.get("key", never()))).toBe(await digest(pieces(count, mib)));
  });

  test("a way that damages all that passes is one clear failure", async () => {
    const { address } = await freshBucket(server());
    const isPut = (method: string): boolean => method === "PUT";
    const target = new URL(server().url);
    await using proxy = await startFaultyProxy(target, isPut, "bit turned", Number.POSITIVE_INFINITY);
    await using store = s3ObjectStore({ ...address, endpoint: { ...address.endpoint, port: proxy.port } }, bounds);
    await expect(store.put("key", pieces(1, mib), never())).rejects.toMatchObject({
      ...{ code: "internal", hint: "something between here and the S3 server damages what passes" },
      message: expect.stringMatching(/what arrived is not what was sent$/),
    });
  });

  test("a read that breaks off in the middle is gone on with", async () => {
    const { address } = await freshBucket(server());
    await using proxy = await startToxiproxy(server(), inside);
    await using store = s3ObjectStore({ ...address, endpoint: { ...address.endpoint, port: proxy.port } }, bounds);
    await store.put("key", pieces(64, mib), never());
    const hash = createHash("sha256");
    let cuts = 0;
    let received = 0;
    for await (const chunk of (await store.get("key", never())) ?? []) {
      hash.update(chunk);
      received += chunk.byteLength;
      if (received < (cuts + 1) * 10 * mib || cuts === 3) continue;
      cuts += 1;
      await proxy.cut();
      await proxy.mend();
    }
    expect(cuts).toBe(3);
    expect(hash.digest("hex")).toBe(await digest(pieces(64, mib)));
  });

  test.each([
    ["a wrong secret key", { secretKey: "wrong-wrong-wrong" }, "the server refuses these keys"],
    ["a bucket that is not there", { bucket: "nowhere" }, "there is no such bucket"],
  ])("%s is named, and no key is in the message", async (_name, difference, why) => {
    const { address } = await freshBucket(server());
    await using store = s3ObjectStore({ ...address, ...difference }, bounds);
    const error: unknown = await store.put("key", pieces(1, 1), never()).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "internal", message: expect.stringContaining(why), hint: expect.any(String) });
    expect(String(error)).not.toContain(address.secretKey);
  });
});
