import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open } from "node:fs/promises";
import { join } from "node:path";
import { ExecutorError } from "../../model/failure.ts";
import { isSecretName, maxSecretBytes } from "../../model/secret.ts";
import type { SecretProvider } from "../../ports/secret-provider.ts";
import { idSchema } from "../../schema/task-schema.ts";
import { codeOf } from "./private-folder.ts";

/**
 * Secrets as files `TENANT/NAME` below `folder`, whose bytes are the values. Each file must be this user's and nobody else's to read; each
 * folder this user's and nobody else's to write; none of them a link. What is not so is refused, never passed over.
 * @param setting names what the path came from, for the message about the folder itself.
 */
export function secretsFolder(folder: string, setting: string): SecretProvider {
  return {
    async find(tenantId, name) {
      // SAFETY: both are one plain name, so no path leads out of the tenant's folder.
      if (!isSecretName(name) || !tenantPattern.test(tenantId)) return null;
      const wholeFault = await faultAt(folder);
      if (wholeFault !== null)
        throw new ExecutorError("validation", `${setting}: ${folder} ${wholeFault}`, {
          hint: "allowed is a folder of this user's that nobody else can write",
        });
      const tenantFolder = join(folder, tenantId);
      const tenantFault = await faultAt(tenantFolder);
      if (tenantFault === missing) return null;
      if (tenantFault !== null) throw refused(name, `the folder of tenant ${tenantId} ${tenantFault}`);
      return await readSecret(join(tenantFolder, name), name);
    },
  };
}

const tenantPattern = new RegExp(String(idSchema.pattern));

const missing = "is not there";

async function faultAt(folder: string): Promise<string | null> {
  try {
    // Not stat: whoever may put a link here may choose what is read.
    return folderFault(await lstat(folder));
  } catch (cause) {
    return codeOf(cause) === "ENOENT" ? missing : `cannot be looked at (${codeOf(cause)})`;
  }
}

/** Messages name no path: tenants read them. */
const refused = (name: string, why: string, cause?: unknown): ExecutorError =>
  new ExecutorError("policy_denied", `secret ${name} cannot be used: ${why}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: "the operator has to mend it",
  });

async function readSecret(path: string, name: string): Promise<Buffer | null> {
  await using file = await opened(path, name);
  if (file === null) return null;
  const fault = fileFault(await file.stat());
  if (fault !== null) throw refused(name, `its file ${fault}`);
  // One byte more than the longest value with its end of line.
  const bytes = Buffer.alloc(maxSecretBytes + 3);
  let length = 0;
  for (let got = -1; got !== 0 && length < bytes.length; length += got)
    got = (await file.read(bytes, length, bytes.length - length, null)).bytesRead;
  if (length === bytes.length) throw refused(name, `its file is too long, must have at most ${maxSecretBytes} bytes`);
  return bytes.subarray(0, length);
}

/** SAFETY: judged is what was opened. A link is not followed, and a pipe is not waited for. */
async function opened(path: string, name: string): Promise<FileHandle | null> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    const code = codeOf(cause);
    if (code === "ENOENT") return null;
    throw refused(name, code === "ELOOP" ? "its file is a link" : `its file cannot be opened (${code})`, cause);
  }
}

function folderFault(found: Stats): string | null {
  if (!found.isDirectory()) return "is not a folder itself (a link or a file)";
  if (found.uid !== self()) return "belongs to another user";
  return (found.mode & 0o022) === 0 ? null : `can be written by others (mode ${octal(found.mode)})`;
}

function fileFault(found: Stats): string | null {
  if (!found.isFile()) return "is no regular file";
  if (found.uid !== self()) return "belongs to another user";
  return (found.mode & 0o077) === 0 ? null : `is open to others (mode ${octal(found.mode)}), must be 0600 or 0400`;
}

const self = (): number => process.geteuid?.() ?? 0;
const octal = (mode: number): string => `0${(mode & 0o777).toString(8)}`;
