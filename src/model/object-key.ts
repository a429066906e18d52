import { ExecutorError } from "./failure.ts";
import { quoted } from "./quoted.ts";

/** SAFETY: a segment is a plain name, so a key can name nothing outside the store, whatever the store is made of. */
const segment = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;

/** The segments of an object's key, or of a prefix. @throws ExecutorError internal, for what is none. */
export function objectKeySegments(key: string): readonly string[] {
  const segments = key.split("/");
  if (segments.length <= 32 && segments.every((name) => segment.test(name))) return segments;
  throw new ExecutorError(
    "internal",
    `object key ${quoted(key)} must be at most 32 segments of letters, digits, _, - and ., no dot first`,
  );
}
