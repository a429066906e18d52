import type { BucketItemStat } from "minio";
import { objectKeySegments } from "../../model/object-key.ts";
import type { ObjectStore, StoredObject } from "../../ports/object-store.ts";
import type { S3Address } from "./s3-address.ts";
import { type S3Bounds, type S3Calls, s3Calls } from "./s3-calls.ts";
import { isMissing } from "./s3-failure.ts";
import { upload } from "./upload.ts";

export const defaultS3Bounds: S3Bounds = { stallMs: 20_000, retryMs: 5000, putRetryMs: 5000 };

/** Objects in a bucket of an S3 server, which must be there. Nothing is asked of the server before the first call. */
export function s3ObjectStore(address: S3Address, bounds: S3Bounds = defaultS3Bounds): ObjectStore {
  const calls = s3Calls(address, bounds);
  return {
    async put(key, body, signal) {
      signal.throwIfAborted();
      objectKeySegments(key);
      return { key, sizeBytes: await upload(calls, key, body, signal) };
    },
    async get(key, signal, range) {
      signal.throwIfAborted();
      objectKeySegments(key);
      const sizeBytes = await sizeIfThere(calls, key, signal);
      if (sizeBytes === null) return null;
      const start = range?.start ?? 0;
      return read(calls, key, start, Math.min(range?.end ?? sizeBytes, sizeBytes) - start, signal);
    },
    async list(prefix, signal) {
      signal.throwIfAborted();
      objectKeySegments(prefix);
      return (await list(calls, prefix, signal)).map(({ key, sizeBytes }) => ({ key, sizeBytes }));
    },
    async remove(prefix, signal) {
      signal.throwIfAborted();
      objectKeySegments(prefix);
      await abortUploads(calls, signal, ({ key }) => key === prefix || key.startsWith(`${prefix}/`));
      const keys = (await list(calls, prefix, signal)).map(({ key }) => key);
      await removeKeys(calls, prefix, keys, signal);
    },
    async removeKeys(keys, signal) {
      signal.throwIfAborted();
      for (const key of keys) objectKeySegments(key);
      if (keys.length > 0) await removeKeys(calls, keys[0] ?? "", keys, signal);
    },
    async expire(prefix, { putBefore, limit, isSpared = () => false }, signal) {
      signal.throwIfAborted();
      objectKeySegments(prefix);
      const found = await list(calls, prefix, signal);
      const old = found.filter(({ key, putAt }) => putAt < putBefore && !isSpared(key)).slice(0, limit);
      if (old.length > 0)
        await removeKeys(
          calls,
          prefix,
          old.map(({ key }) => key),
          signal,
        );
      return old.length;
    },
    async sweep(olderThanMs, signal) {
      const latest = Date.now() - olderThanMs;
      return await abortUploads(calls, signal, ({ initiated }) => initiated.getTime() <= latest);
    },
    [Symbol.asyncDispose]: () => calls[Symbol.asyncDispose](),
  };
}

async function removeKeys(calls: S3Calls, what: string, keys: readonly string[], signal: AbortSignal): Promise<void> {
  const left = await calls.call(`remove ${what}`, (s3, bucket) => s3.removeObjects(bucket, [...keys]), signal);
  if (left.length > 0)
    throw calls.failure(`remove ${what}`, Object.assign(new Error("refused"), { code: "AccessDenied" }));
}

const sizeIfThere = async (calls: S3Calls, key: string, signal: AbortSignal): Promise<number | null> =>
  (await factsIfThere(calls, key, signal))?.size ?? null;

async function factsIfThere(calls: S3Calls, key: string, signal: AbortSignal): Promise<BucketItemStat | null> {
  try {
    return await calls.call(`read ${key}`, (s3, bucket) => s3.statObject(bucket, key), signal, isMissing);
  } catch (error) {
    // A bucket that is not there answers the same to this request: `list` and `put` say so.
    if (isMissing(error)) return null;
    throw error;
  }
}

/**
 * Asked for at the first step, so that an object nobody reads holds no connection. An answer that breaks off, also because its
 * reader took too long, is gone on with where it ended, as long as each answer brings something.
 */
async function* read(
  calls: S3Calls,
  key: string,
  start: number,
  lengthBytes: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const what = `read ${key}`;
  for (let done = 0; done < lengthBytes; ) {
    const before = done;
    const answer = await calls.call(
      what,
      (s3, bucket) => s3.getPartialObject(bucket, key, start + done, lengthBytes - done),
      signal,
    );
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        signal.throwIfAborted();
        done += chunk.byteLength;
        yield chunk;
      }
    } catch (cause) {
      signal.throwIfAborted();
      if (done === before) throw calls.failure(what, cause);
    }
    if (done === before) throw calls.failure(what, Object.assign(new Error("it is empty"), { code: "ECONNRESET" }));
  }
}

/** With the time it was put, by the server's clock. */
interface ListedObject extends StoredObject {
  readonly putAt: number;
}

async function list(calls: S3Calls, prefix: string, signal: AbortSignal): Promise<readonly ListedObject[]> {
  const found: ListedObject[] = [];
  const itself = await factsIfThere(calls, prefix, signal);
  if (itself !== null) found.push({ key: prefix, sizeBytes: itself.size, putAt: itself.lastModified.getTime() });
  for (let token = "", more = true; more; ) {
    const page = await calls.call(
      `list ${prefix}`,
      (s3, bucket) => s3.listObjectsV2Query(bucket, `${prefix}/`, token, "", 1000, ""),
      signal,
    );
    for (const { name, size, lastModified } of page.objects) {
      // Some servers list folders that somebody made by hand.
      if (name === undefined || name.endsWith("/")) continue;
      found.push({ key: name, sizeBytes: size, putAt: lastModified.getTime() });
    }
    more = page.isTruncated === true;
    token = page.nextContinuationToken ?? "";
  }
  return found.sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
}

interface UnfinishedUpload {
  readonly key: string;
  readonly initiated: Date;
}

async function abortUploads(
  calls: S3Calls,
  signal: AbortSignal,
  isWanted: (upload: UnfinishedUpload) => boolean,
): Promise<number> {
  let aborted = 0;
  for (let keyMarker = "", idMarker = "", more = true; more; ) {
    const page = await calls.call(
      "list uploads",
      // MinIO knows the whole key for a prefix, or none: all are looked at.
      (s3, bucket) => s3.listIncompleteUploadsQuery(bucket, "", keyMarker, idMarker, ""),
      signal,
    );
    for (const { key, uploadId, initiated } of page.uploads) {
      if (!isWanted({ key, initiated: new Date(initiated) })) continue;
      await calls.call(`give up ${key}`, (s3, bucket) => s3.abortMultipartUpload(bucket, key, uploadId), signal);
      aborted += 1;
    }
    more = page.isTruncated;
    [keyMarker, idMarker] = [page.nextKeyMarker, page.nextUploadIdMarker];
  }
  return aborted;
}
