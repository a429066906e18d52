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

export interface CertificateOptions {
  readonly names?: readonly string[];
  /** Negative: it has expired already. */
  readonly days?: number;
}

/** A certificate for `localhost` or these names, signed by itself, in a folder that is gone afterwards. */
export async function selfSigned({ names = ["localhost"], days = 2 }: CertificateOptions = {}): Promise<Certificate> {
  const folder = mkdtempSync(join(tmpdir(), "toolx-tls-"));
  const [keyPath, certPath] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const openssl = (...args: readonly string[]): unknown => execFileSync("openssl", args, { stdio: "ignore" });
  const alternatives = names.map((name) => `DNS:${name}`).join();
  const subject = ["-subj", `/CN=${names[0]}`, "-addext", `subjectAltName=${alternatives}`];
  openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", keyPath, "-out", certPath, ...subject);
  // Only this command takes days that are over.
  openssl("x509", "-in", certPath, "-signkey", keyPath, "-days", String(days), "-out", certPath);
  return { folder, keyPath, certPath, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
