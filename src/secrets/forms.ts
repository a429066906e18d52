import { isUtf8 } from "node:buffer";
import { isVaried, minSecretBytes, secretBytes } from "../model/secret.ts";
import { maxEscapedWhole, textForms } from "./text-forms.ts";

/** One more with each change of what {@link secretForms} answers: places in its list are told to the next process by number. */
export const formsVersion = 1;

/**
 * Every form in which a secret's value is looked for, each once, none shorter than {@link minSecretBytes}: as it is, encoded (base64,
 * base64url, hex, URL, UTF-16) and escaped (JSON, shells, HTML); of a value of several lines also each line.
 * Pure. `value` is one that `refuseUnfitSecret` lets pass.
 */
export function secretForms(value: Uint8Array): readonly Buffer[] {
  const bytes = Buffer.from(secretBytes(value));
  const text = isUtf8(bytes) ? bytes.toString() : null;
  const encoded = [...base64Forms(bytes), ...hexForms(bytes), ...percentForms(bytes)].map((form) => Buffer.from(form));
  const written = text === null ? [] : textForms(text).map((form) => Buffer.from(form));
  const wide = text === null ? [] : [Buffer.from(text, "utf16le")];
  const all = [bytes, ...lineForms(bytes), ...encoded, ...written, ...wide];
  const once = new Map(all.map((form) => [form.toString("latin1"), form]));
  return [...once.values()].filter((form) => form.length >= minSecretBytes);
}

/** A shorter line of a value, such as a brace, stands in too much that is no secret. */
const minLineBytes = 12;

/** Printed with something before each line, or line by line, the whole is never there. White space around a line is no part of it. */
function lineForms(bytes: Buffer): readonly Buffer[] {
  const text = bytes.toString("latin1");
  const lines = text.split(/\r?\n/);
  if (lines.length === 1) return [];
  const whole = lines.join("\n");
  const apart = lines.map((line) => line.trim()).filter((line) => line.length >= minLineBytes);
  return [whole, whole.replaceAll("\n", "\r\n"), ...apart]
    .map((form) => Buffer.from(form, "latin1"))
    .filter((form) => isVaried(form));
}

/** How wide lines of base64 are: of `base64` and MIME, of OpenSSL and PEM. */
const base64Columns = [76, 64];

/** What stands before the value in what is encoded moves it by 0, 1 or 2 bytes; the characters that it shares are not looked for. */
function base64Forms(bytes: Buffer): readonly string[] {
  const inner = [0, 1, 2].map((before) => base64Inner(bytes, before));
  const begun = inner[0] ?? "";
  const wrapped = base64Columns
    .filter((columns) => begun.length > columns)
    .flatMap((columns) => {
      const lines = inLines(begun, columns);
      return [lines.join("\n"), ...lines.filter((line) => line.length >= minLineBytes)];
    });
  const all = [...inner, ...wrapped];
  return [...all, ...all.map((form) => form.replaceAll("+", "-").replaceAll("/", "_"))];
}

/** The characters that follow from the value alone, when `before` bytes stand in front of it and anything behind it. */
function base64Inner(bytes: Buffer, before: number): string {
  const whole = Buffer.concat([Buffer.alloc(before), bytes, Buffer.alloc(2)]).toString("base64");
  return whole.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
}

function inLines(text: string, columns: number): readonly string[] {
  const lines: string[] = [];
  for (let at = 0; at < text.length; at += columns) lines.push(text.slice(at, at + columns));
  return lines;
}

function hexForms(bytes: Buffer): readonly string[] {
  const hex = bytes.toString("hex");
  return [hex, hex.toUpperCase()];
}

/** What programs leave as it is beside letters and digits, and what they make of a space. */
const percentStyles: readonly { readonly kept: string; readonly space: string }[] = [
  { kept: "-_.~", space: "%20" }, // RFC 3986, Go's PathEscape, curl
  { kept: "-_.~", space: "+" }, // Python's urlencode, Go's QueryEscape
  { kept: "-_.~/", space: "%20" }, // Python's quote
  { kept: "-_.!~*'()", space: "%20" }, // encodeURIComponent
  { kept: "-_.!~*'();,/?:@&=+$#", space: "%20" }, // encodeURI
  { kept: "-_.*", space: "+" }, // forms, Java
  { kept: "-_.", space: "+" }, // PHP
];

function percentForms(bytes: Buffer): readonly string[] {
  const all = bytes.length <= maxEscapedWhole ? [bytes.toString("hex").replaceAll(/../g, "%$&")] : [];
  const some = percentStyles.map(({ kept, space }) =>
    [...bytes].map((byte) => (byte === 0x20 ? space : percentByte(byte, kept))).join(""),
  );
  const lower = [...all, ...some];
  return [...lower, ...lower.map((form) => form.replaceAll(/%../g, (escaped) => escaped.toUpperCase()))];
}

function percentByte(byte: number, kept: string): string {
  const char = String.fromCharCode(byte);
  return /[A-Za-z0-9]/.test(char) || kept.includes(char) ? char : `%${byte.toString(16).padStart(2, "0")}`;
}
