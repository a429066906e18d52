// Makes the bucket of S3_BUCKET where it is missing, and waits up to a minute for the server.
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "minio";

const { S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY, S3_REGION } = process.env;
const { protocol, hostname, port } = new URL(S3_ENDPOINT);
const useSSL = protocol === "https:";
const client = new Client({
  endPoint: hostname,
  port: port === "" ? (useSSL ? 443 : 80) : Number(port),
  useSSL,
  accessKey: S3_ACCESS_KEY,
  secretKey: S3_SECRET_KEY,
});
const endsAt = Date.now() + 60_000;
for (;;) {
  try {
    if (!(await client.bucketExists(S3_BUCKET))) await client.makeBucket(S3_BUCKET, S3_REGION ?? "us-east-1");
    break;
  } catch (error) {
    if (Date.now() > endsAt) throw error;
    await sleep(500);
  }
}
