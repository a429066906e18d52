import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificate extends AsyncDisposable {
  readonly folder: string;
  readonly keyPath: string;
  readonly certPath: string;
}

/** A certificate for `localhost`, signed by itself, in a folder that is gone afterwards. */
export const selfSigned = (): Promise<Certificate> => certificateFor(["localhost"]);

/** The same for these names, at least one. */
export async function certificateFor(names: readonly string[]): Promise<Certificate> {
  const folder = mkdtempSync(join(tmpdir(), "toolx-tls-"));
  const [keyPath, certPath] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const alternatives = names.map((name) => `DNS:${name}`).join(",");
  const subject = ["-subj", `/CN=${names[0]}`, "-addext", `subjectAltName=${alternatives}`];
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", keyPath, "-out", certPath, ...subject],
    { stdio: "ignore" },
  );
  return { folder, keyPath, certPath, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
