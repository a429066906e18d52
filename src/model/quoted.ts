/**
 * Text of somebody else's for a message of ours: in double quotes, shortened, and with every character that
 * could steer a terminal or reorder the line (controls, bidi marks, lone surrogates) written as an escape.
 */
export function quoted(text: string, maxChars = 60): string {
  const chars = text.length > maxChars ? `${text.slice(0, maxChars)}…` : text;
  return JSON.stringify(chars).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
