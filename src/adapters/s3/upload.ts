import { createHash } from "node:crypto";
import type { Client } from "minio";
import type { S3Calls } from "./s3-calls.ts";
import { isUploadOver } from "./s3-failure.ts";

/** A part in flight and one that is filled: what one upload holds in memory, at most. Servers take 10,000 parts: 78 GiB. */
export const partBytes = 8 * 1024 * 1024;
const smallestBufferBytes = 64 * 1024;

/**
 * Puts a body under a key, in one request where it fits into a part. It is seen whole or not at all; of one that breaks off no part is left,
 * unless the server cannot be told.
 * @throws what the body throws; ExecutorError internal; the signal's reason.
 */
export async function upload(
  calls: S3Calls,
  key: string,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<number> {
  let multipart: Multipart | null = null;
  let buffer: Buffer = Buffer.allocUnsafeSlow(smallestBufferBytes);
  let filled = 0;
  let sizeBytes = 0;
  try {
    for await (const chunk of body) {
      signal.throwIfAborted();
      for (let at = 0; at < chunk.byteLength; ) {
        if (filled === partBytes) {
          multipart ??= await beginMultipart(calls, key, signal);
          buffer = await multipart.send(buffer);
          filled = 0;
        }
        if (filled === buffer.byteLength) buffer = grown(buffer);
        const length = Math.min(chunk.byteLength - at, buffer.byteLength - filled);
        buffer.set(chunk.subarray(at, at + length), filled);
        filled += length;
        at += length;
      }
      sizeBytes += chunk.byteLength;
    }
    signal.throwIfAborted();
    const rest = buffer.subarray(0, filled);
    if (multipart !== null) await multipart.complete(rest, sizeBytes);
    else await calls.put(`write ${key}`, (s3, bucket) => s3.putObject(bucket, key, rest, rest.byteLength), signal);
    return sizeBytes;
  } catch (error) {
    await multipart?.abort();
    throw error;
  }
}

interface Multipart {
  /** Begins to send a full buffer once the one before has arrived; answers one that may be filled meanwhile. */
  send(buffer: Buffer): Promise<Buffer>;
  /** @param sizeBytes of the whole object. */
  complete(rest: Buffer, sizeBytes: number): Promise<void>;
  /** Never throws: what the server could not be told is for the sweep. */
  abort(): Promise<void>;
}

async function beginMultipart(calls: S3Calls, key: string, signal: AbortSignal): Promise<Multipart> {
  const what = `write ${key}`;
  const uploadID = await calls.put(what, (s3, bucket) => s3.initiateNewMultipartUpload(bucket, key, {}), signal);
  const parts: { part: number; etag: string }[] = [];
  let free: Buffer = Buffer.allocUnsafeSlow(partBytes);
  let inFlight: Promise<void> = Promise.resolve();

  const sendPart = async (bytes: Buffer): Promise<void> => {
    const partNumber = parts.length + 1;
    // The server refuses what does not arrive as it was sent: without TLS the signature holds a hash of the part already.
    const headers = calls.signsPayload ? {} : { "Content-MD5": createHash("md5").update(bytes).digest("base64") };
    const { etag } = await calls.put(
      what,
      (s3, bucket) => s3.uploadPart({ bucketName: bucket, objectName: key, uploadID, partNumber, headers }, bytes),
      signal,
    );
    parts.push({ part: partNumber, etag });
  };

  return {
    async send(buffer) {
      await inFlight;
      inFlight = sendPart(buffer);
      // Looked at before the next part, or when the upload is given up.
      inFlight.catch(() => undefined);
      [free, buffer] = [buffer, free];
      return buffer;
    },
    async complete(rest, sizeBytes) {
      await inFlight;
      if (rest.byteLength > 0) await sendPart(rest);
      try {
        const complete = (s3: Client, bucket: string) => s3.completeMultipartUpload(bucket, key, uploadID, parts);
        await calls.put(what, complete, signal, isUploadOver);
      } catch (cause) {
        if (!isUploadOver(cause)) throw cause;
        // An answer that was lost: keys are written once, so what is there is this one.
        const found = await calls.put(what, (s3, bucket) => s3.statObject(bucket, key), signal);
        if (found.size !== sizeBytes) throw calls.failure(what, cause);
      }
    },
    async abort() {
      await inFlight.catch(() => undefined);
      // Not the caller's signal: the parts go, however this ended.
      const unhurried = AbortSignal.timeout(abortMs);
      await calls
        .call(what, (s3, bucket) => s3.abortMultipartUpload(bucket, key, uploadID), unhurried)
        .catch(() => undefined);
    },
  };
}

const abortMs = 10_000;

function grown(buffer: Buffer): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.min(buffer.byteLength * 2, partBytes));
  larger.set(buffer);
  return larger;
}
