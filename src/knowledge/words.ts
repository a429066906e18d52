import { maxWordChars } from "../model/knowledge.ts";

/** One word of a text: folded, and where it stands in it. */
export interface Word {
  readonly folded: string;
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/** Scripts that are written without spaces give a word a character: what is looked for in them is then a phrase. */
const pattern =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]|[[\p{L}\p{N}\p{M}]--[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]]+/gv;

/** The words of a text, in order. Whatever is no letter, digit or mark divides them. */
export function wordsOf(text: string): readonly Word[] {
  const words: Word[] = [];
  for (const { 0: raw, index } of text.matchAll(pattern)) {
    const folded = fold(raw);
    if (folded !== "") words.push({ folded, start: index, end: index + raw.length });
  }
  return words;
}

/** The same, without their places. */
export const foldedWords = (text: string): readonly string[] => wordsOf(text).map(({ folded }) => folded);

/**
 * What two spellings of a word have in common: case, the accents of Latin, Greek and Cyrillic letters, compatibility forms and what is
 * beyond `maxWordChars` do not count. Empty for what is no word at all.
 */
export function fold(word: string): string {
  if (/^[0-9a-z]*$/i.test(word)) return word.slice(0, maxWordChars).toLowerCase();
  const bare = word
    .normalize("NFKD")
    .replaceAll(/[\u0300-\u036f]/g, "")
    // By way of capitals, which fold what has no single small letter: ß is ss.
    .toUpperCase()
    .toLowerCase()
    .normalize("NFKD")
    .replaceAll(/[\u0300-\u036f]/g, "")
    .replaceAll("ς", "σ")
    .replaceAll(/[^\p{L}\p{N}\p{M}]/gu, "")
    .normalize("NFC");
  return [...bare].slice(0, maxWordChars).join("");
}
