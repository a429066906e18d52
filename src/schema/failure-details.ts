import type { FailureDetail } from "../model/failure.ts";
import { quoted } from "../model/quoted.ts";

/** A JSON pointer as people write it: `/files/0/path` is `files[0].path`, and the root is `subject`. */
export function pathName(pointer: string, subject: string): string {
  if (pointer === "") return subject;
  let name = "";
  for (const segment of pointer.slice(1).split("/")) {
    const key = segment.replaceAll("~1", "/").replaceAll("~0", "~");
    if (/^\d+$/.test(key)) name += `[${key}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(key)) name += name === "" ? key : `.${key}`;
    else name += `[${quoted(key)}]`;
  }
  return name;
}

/** One step of a JSON pointer (RFC 6901). */
export const pointerSegment = (name: string): string => name.replaceAll("~", "~0").replaceAll("/", "~1");

/** Enough to mend a request; a body of a million errors is not answered with a million. */
export const maxDetails = 20;

/** One line for many details. */
export function summary(details: readonly FailureDetail[]): string {
  const first = details[0]?.message ?? "";
  return details.length > 1 ? `${first} (and ${details.length - 1} more)` : first;
}
