import { ExecutorError } from "./failure.ts";

/** A value that a task may know and nobody may read afterwards, by the name it goes by. Never printed, logged or stored as a whole. */
export interface Secret {
  readonly name: string;
  readonly value: Uint8Array;
}

/** One as a task gets it. */
export interface GivenSecret extends Secret {
  readonly as: "env" | "file";
}

/** Of one task. */
export const maxSecretCount = 16;

/** A shorter one stands in too much that is no secret: all of that would be taken out, and so tell what the secret is. */
export const minSecretBytes = 6;
/** Of which so many are not the same. */
export const minDifferentBytes = 3;
/** A longer one is a file. */
export const maxSecretBytes = 8 * 1024;

/** What a task may call a secret: a name that a variable can have, of at most 64 characters. */
export const isSecretName = (name: string): boolean => /^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(name);

/** @throws ExecutorError policy_denied. What is no name is not quoted: somebody may have put the value there. */
export function refuseSecretName(name: string, path = "/secrets"): void {
  if (isSecretName(name)) return;
  const message = "the name of a secret must be letters, digits and _, no digit first, at most 64 of them";
  throw new ExecutorError("policy_denied", message, { details: [{ path, message }] });
}

/** The value without the ends of line that editors and `echo` leave behind it, which no program prints with it. */
export function secretBytes(value: Uint8Array): Uint8Array {
  let end = value.length;
  while (end > 0 && (value[end - 1] === 0x0a || value[end - 1] === 0x0d)) end -= 1;
  return value.subarray(0, end);
}

/** @throws ExecutorError policy_denied, naming the secret and what is allowed, for a value that cannot be kept out of what is written. */
export function refuseUnfitSecret({ name, value }: Secret): void {
  const fault = faultOf(secretBytes(value));
  if (fault === null) return;
  throw new ExecutorError("policy_denied", `secret ${name} ${fault}`, {
    hint: "it could not be kept out of output and results: ask the operator for another value",
  });
}

/** Says no more of the value than which bound it is beyond. */
function faultOf(value: Uint8Array): string | null {
  if (value.length < minSecretBytes) return `is too short, must have at least ${minSecretBytes} bytes`;
  if (value.length > maxSecretBytes) return `is too long, must have at most ${maxSecretBytes} bytes`;
  if (!isVaried(value)) return `is the same over and over, must have at least ${minDifferentBytes} different bytes`;
  return null;
}

export const isVaried = (value: Uint8Array): boolean => new Set(value).size >= minDifferentBytes;
