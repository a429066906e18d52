import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open, readlink } from "node:fs/promises";
import { dirname, isAbsolute, join, relative } from "node:path";
import { ExecutorError } from "../../model/failure.ts";
import { isSecretName, maxSecretBytes } from "../../model/secret.ts";
import type { SecretProvider } from "../../ports/secret-provider.ts";
import { idSchema } from "../../schema/task-schema.ts";
import { codeOf } from "./private-folder.ts";

/**
 * Secrets as files `TENANT/NAME` below `folder`, whose bytes are the values. Each file must be this user's and nobody else's to read; each
 * folder on the way this user's and nobody else's to change. Links of this user's are followed while they stay below `folder`, as
 * Kubernetes has them; what they lead to is judged as if it stood in their place. What is not so is refused, never passed over.
 * @param setting names what the path came from, for the message about the folder itself.
 */
export function secretsFolder(folder: string, setting: string): SecretProvider {
  return {
    async find(tenantId, name) {
      // SAFETY: both are one plain name, so no path leads out of the tenant's folder.
      if (!isSecretName(name) || !tenantPattern.test(tenantId)) return null;
      await requireSecretsFolder(folder, setting);
      const tenant = await placeOf(folder, folder, tenantId, `the folder of tenant ${tenantId}`);
      if (tenant === null) return null;
      if ("fault" in tenant) throw refused(name, tenant.fault);
      const tenantFault = folderFault(tenant.found);
      if (tenantFault !== null) throw refused(name, `the folder of tenant ${tenantId} ${tenantFault}`);
      // Twice: between the look and the opening Kubernetes may have put a new folder in the place of the old one.
      return (await fileIn(folder, tenant.path, name)) ?? (await fileIn(folder, tenant.path, name));
    },
  };
}

async function fileIn(folder: string, tenantFolder: string, name: string): Promise<Buffer | null> {
  const file = await placeOf(folder, tenantFolder, name, "its file");
  if (file === null) return null;
  if ("fault" in file) throw refused(name, file.fault);
  return await readSecret(file.path, name);
}

/** @throws ExecutorError validation, naming the setting, for a folder that others may change, or that is none. */
export async function requireSecretsFolder(folder: string, setting: string): Promise<void> {
  const fault = await faultAt(folder);
  if (fault === null) return;
  throw new ExecutorError("validation", `${setting}: ${folder} ${fault}`, {
    hint: "allowed is a folder of this user's that nobody else can write",
  });
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

type Place = { readonly path: string; readonly found: Stats } | { readonly fault: string };

/** Kubernetes needs two. */
const maxLinks = 8;

/**
 * Where `name` in `from` leads to in the end; null where nothing is there. SAFETY: each folder on the way is judged, so that nobody but this
 * user can have put a link into it, or can put another in its place; in a sticky one, that the link is this user's own.
 */
async function placeOf(folder: string, from: string, name: string, what: string): Promise<Place | null> {
  let at = from;
  let links = 0;
  const steps = [name];
  for (let step = steps.shift(); ; step = steps.shift()) {
    if (step === undefined) return { fault: `${what} is a link to a folder above it` };
    if (step === "" || step === ".") continue;
    if (step === "..") {
      if (at === folder) return leavesFolder(what);
      at = dirname(at);
      continue;
    }
    const path = join(at, step);
    const found = await lookedAt(path);
    if (typeof found === "string")
      return found === missing && links === 0
        ? null
        : { fault: `${what} ${links > 0 ? "is a link to what " : ""}${found}` };
    if (found.isSymbolicLink()) {
      links += 1;
      if (links > maxLinks) return { fault: `${what} is a link to a link, more than ${maxLinks} times` };
      if (found.uid !== self()) return { fault: `${what} is a link that belongs to another user` };
      const target = await readlink(path);
      if (isAbsolute(target)) {
        at = folder;
        steps.unshift(...relative(folder, target).split("/"));
      } else steps.unshift(...target.split("/"));
      continue;
    }
    if (steps.length === 0) return { path, found };
    const fault = folderFault(found);
    if (fault !== null) return { fault: `${what} is a link through a folder that ${fault}` };
    at = path;
  }
}

const leavesFolder = (what: string): Place => ({ fault: `${what} is a link out of the folder of secrets` });

async function lookedAt(path: string): Promise<Stats | string> {
  try {
    return await lstat(path);
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

/** SAFETY: judged is what was opened. A link that came there meanwhile is not followed, and a pipe is not waited for. */
async function opened(path: string, name: string): Promise<FileHandle | null> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    const code = codeOf(cause);
    if (code === "ENOENT") return null;
    throw refused(name, code === "ELOOP" ? "its file is a link" : `its file cannot be opened (${code})`, cause);
  }
}

/** A folder that everybody may add to, and nobody but an owner take from, is what Kubernetes mounts: what others add is theirs, and refused. */
function folderFault(found: Stats): string | null {
  if (!found.isDirectory()) return "is not a folder itself (a link or a file)";
  if (found.uid !== self()) return "belongs to another user";
  const isSticky = (found.mode & 0o1000) !== 0;
  return (found.mode & 0o022) === 0 || isSticky ? null : `can be written by others (mode ${octal(found.mode)})`;
}

function fileFault(found: Stats): string | null {
  if (!found.isFile()) return "is no regular file";
  if (found.uid !== self()) return "belongs to another user";
  return (found.mode & 0o077) === 0 ? null : `is open to others (mode ${octal(found.mode)}), must be 0600 or 0400`;
}

const self = (): number => process.geteuid?.() ?? 0;
const octal = (mode: number): string => `0${(mode & 0o777).toString(8)}`;
