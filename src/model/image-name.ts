import { quoted } from "./quoted.ts";

/** What an image may be called in a request: also a file name, and part of a name in the engine. */
export const imageNamePattern = /^[a-z][a-z0-9_-]{0,62}$/;

/** The same in words, for messages. */
export const imageNameWords = "a lower-case letter, then at most 62 lower-case letters, digits, _ and -";

/**
 * The name an image gets when nobody gives it one: the last part of its reference, without tag and digest.
 * Null where that is no name, as for an image that is given by its ID.
 */
export function nameFromReference(reference: string): string | null {
  const path = reference.split("@", 1)[0] ?? "";
  const last = (path.split("/").at(-1) ?? "").split(":", 1)[0] ?? "";
  const isId = /^(sha256:)?[0-9a-f]{12,64}$/.test(reference);
  return !isId && imageNamePattern.test(last) ? last : null;
}

/** Why `reference` cannot name a local image, or null. Nothing that a path of the engine's API would take apart passes. */
export function referenceFault(reference: string): string | null {
  if (reference.length <= 255 && /^[A-Za-z0-9][\w.:@/-]*$/.test(reference) && !/\.\.|\/\/|\/$/.test(reference))
    return null;
  return `${quoted(reference)} is no image reference; allowed: NAME[:TAG], NAME@DIGEST or an image ID`;
}
