// Reads a pipe to its end as a program behind a `|` does, and says on its standard output what came: logs.ts starts it.
import { openSync, readSync } from "node:fs";
import { readAll } from "./reading.ts";

const buffer = Buffer.allocUnsafeSlow(1024 * 1024);

function* piecesOf(path: string): Generator<Buffer> {
  const file = openSync(path, "r");
  for (let got = readSync(file, buffer); got > 0; got = readSync(file, buffer)) yield buffer.subarray(0, got);
}

process.stdout.write(JSON.stringify(await readAll(piecesOf(process.argv[2] ?? ""))));
