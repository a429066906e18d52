import { isIP } from "node:net";
import { domainToASCII, domainToUnicode } from "node:url";
import { canonicalAddress } from "../model/judged-address.ts";

/** What somebody meant by a host. */
export type Host =
  /** In lower case, A-labels, no dot at its end. */
  | { readonly kind: "name"; readonly name: string }
  /** An address as such, however it was written; IPv6 in full and without brackets. */
  | { readonly kind: "address"; readonly address: string }
  | { readonly kind: "refused"; readonly why: string };

/**
 * Reads a host as a client wrote it. What any resolver, browser or C library might take for an address is an address here or is refused,
 * and never a name: nothing behind this looks at such a spelling again.
 */
export function hostOf(text: string): Host {
  if (text === "") return refused("is empty");
  if (text.length > maxTextChars) return refused(`is longer than ${maxTextChars} characters`);
  if (text.includes("%")) return refused("has a percent sign: neither escapes nor zones are taken");
  if (text.startsWith("[") || text.includes(":")) return address6(text);
  const ascii = isAscii(text) ? text : asciiOf(text);
  if (ascii === null) return refused("has characters that stand for others, or for none");
  return nameOrAddress4(ascii.toLowerCase(), isAscii(text));
}

/** A host and its port. */
export interface Place {
  readonly host: Host;
  readonly port: number;
}

/**
 * `HOST:PORT` as CONNECT and `Host` have it; IPv6 in brackets only. Null for what is none: a user before it, a port that is not written as a
 * plain number from 1 to 65535, or none where `defaultPort` is null.
 */
export function placeOf(text: string, defaultPort: number | null): Place | null {
  const match = /^(\[[^\]]*\]|[^:[\]]*)(?::(.*))?$/s.exec(text);
  const [, host = "", written] = match ?? [];
  const port = written === undefined ? defaultPort : portOf(written);
  return match === null || port === null ? null : { host: hostOf(host), port };
}

/** A port as a plain number from 1 to 65535; null for `0`, `+443`, `0443`, `65536`. */
export function portOf(text: string): number | null {
  if (!/^[1-9]\d{0,4}$/.test(text)) return null;
  const port = Number(text);
  return port <= 65_535 ? port : null;
}

/** Whether `host` is this name and nothing else. */
export const isName = (host: Host, name: string): boolean => host.kind === "name" && host.name === name;

const refused = (why: string): Host => ({ kind: "refused", why });

/** The longest name that DNS knows, its last dot, and room for letters that are one character here and several there. */
const maxTextChars = 254;
const maxNameChars = 253;

// biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant
const isAscii = (text: string): boolean => /^[\x00-\x7f]*$/.test(text);

function address6(text: string): Host {
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  const address = isIP(bare) === 6 ? canonicalAddress(bare) : null;
  return address === null ? refused("is neither a name nor an address") : { kind: "address", address };
}

/**
 * A-labels of a name that has other letters than those of ASCII. Not what only looks different: a fullwidth digit, a circled letter, a
 * second kind of dot or a character without width would become something else on the way.
 */
function asciiOf(text: string): string | null {
  if (text.normalize("NFKC") !== text.normalize("NFC")) return null;
  if (/[\p{Default_Ignorable_Code_Point}\u3002\uff0e\uff61]/u.test(text)) return null;
  const ascii = domainToASCII(text);
  if (ascii === "" || labels(ascii).length !== labels(text).length) return null;
  // Nor may a label of other letters become one of ASCII alone.
  const became = labels(ascii);
  return labels(text).every((label, at) => isAscii(label) || became[at]?.startsWith("xn--")) ? ascii : null;
}

const labels = (name: string): readonly string[] => name.split(".");

function nameOrAddress4(text: string, wasAscii: boolean): Host {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (isIP(name) === 4) return wasAscii ? { kind: "address", address: name } : refused("is an address in disguise");
  // No name ends in a number: that is an address to inet_aton (`127.1`, `0x7f000001`, `017700000001`) and to browsers.
  if (/(?:^|\.)(?:\d+|0x[0-9a-f]*)$/.test(name)) return refused("is a number, or an address in an unusual spelling");
  if (name.length > maxNameChars) return refused(`is longer than ${maxNameChars} characters`);
  const bad = labels(name).find((label) => !isLabel(label));
  return bad === undefined ? { kind: "name", name } : refused("has a label that no name can have");
}

function isLabel(label: string): boolean {
  if (!/^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label)) return false;
  if (!label.startsWith("xn--")) return true;
  // An A-label is one only if it can be read and written again as it was.
  const read = domainToUnicode(label);
  return !isAscii(read) && domainToASCII(read) === label;
}
