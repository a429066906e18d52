// Reads a pipe to its end as a program behind a `|` does, hashes every byte, and says on its standard output what came: logs.ts starts it.
import { createHash } from "node:crypto";
import { openSync, readSync } from "node:fs";
import type { Reading } from "./logs.ts";

const file = openSync(process.argv[2] ?? "", "r");
const buffer = Buffer.allocUnsafeSlow(1024 * 1024);
const hash = createHash("sha256");
let bytes = 0;
let startedAt = 0;
for (let got = readSync(file, buffer); got > 0; got = readSync(file, buffer)) {
  if (bytes === 0) startedAt = performance.now();
  hash.update(buffer.subarray(0, got));
  bytes += got;
}
const seconds = (performance.now() - startedAt) / 1000;
const reading: Reading = { bytes, sha256: hash.digest("hex"), mbPerSecond: bytes / 1e6 / seconds };
process.stdout.write(JSON.stringify(reading));
