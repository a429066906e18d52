import { type HeldBack, nothingHeld } from "../model/redaction-point.ts";
import { refuseUnfitSecret, type Secret } from "../model/secret.ts";
import type { JsonValue } from "../model/task.ts";
import { automaton } from "./automaton.ts";
import { secretForms } from "./forms.ts";
import { redactJson, redactText } from "./redact-value.ts";
import { type Redactor, redactor } from "./redactor.ts";

/** Takes the secrets of one task out of everything that leaves it: its streams, each on its own, and what is said of it. */
export interface Redaction {
  /** For one stream; any number may be open. @param from what the same one of another process held back. */
  stream(from?: HeldBack): Redactor;
  /** The same for bytes that must stay as many: each of a secret becomes `*`. */
  sameLength(onRedacted: (name: string) => void): Redactor;
  /** For one stream that is looked at only: what comes out is nobody's, and nothing is counted. */
  finder(onFound: (name: string) => void): Redactor;
  text(text: string): string;
  json(value: JsonValue): JsonValue;
  /** Marks that were written so far, by the name that stands in them; a name without one is not there. */
  counts(): Readonly<Record<string, number>>;
}

/**
 * @param isOfHosts for names of hosts, which are told in lower case whatever was written: each form is looked for in lower case too.
 * @throws ExecutorError policy_denied, naming the secret, for a value that is too short or too long to be looked for.
 */
export function redaction(secrets: readonly Secret[], isOfHosts = false): Redaction {
  for (const secret of secrets) refuseUnfitSecret(secret);
  if (secrets.length === 0) return untouched;
  const patterns = automaton(
    secrets.flatMap(({ name, value }) => {
      const forms = secretForms(value);
      return [...forms, ...(isOfHosts ? forms.map(inLowerCase) : [])].map((bytes) => ({ name, bytes }));
    }),
  );
  const counts = new Map<string, number>();
  const count = (name: string): void => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  };
  return {
    stream: (from) => redactor(patterns, count, from === undefined ? {} : { from }),
    sameLength: (onRedacted) =>
      redactor(
        patterns,
        (name) => {
          count(name);
          onRedacted(name);
        },
        { fill: 0x2a },
      ),
    finder: (onFound) => redactor(patterns, onFound),
    text: (text) => redactText(patterns, text, count),
    json: (value) => redactJson(patterns, value, count),
    counts: () => Object.fromEntries(counts),
  };
}

/** Of ASCII, as names of hosts have it. */
const inLowerCase = (bytes: Buffer): Buffer =>
  Buffer.from(bytes.map((byte) => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte)));

const passing: Redactor = {
  push: (chunk) => chunk,
  flush: () => Buffer.alloc(0),
  heldBytes: () => 0,
  held: () => nothingHeld,
};

const untouched: Redaction = {
  stream: () => passing,
  sameLength: () => passing,
  finder: () => passing,
  text: (text) => text,
  json: (value) => value,
  counts: () => ({}),
};
