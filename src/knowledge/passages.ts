import { maxHeadingWords, maxPassageWords, maxSameWord, maxTitleWords, type Passage } from "../model/knowledge.ts";
import type { Part } from "./outline.ts";
import { foldedWords, wordsOf } from "./words.ts";

/** Characters; of one passage. */
const maxPassageChars = 6000;
/** Of a line that has to be cut, and the words in it. */
const maxPieceChars = 2000;
const maxPieceWords = maxSameWord;

/** Cuts parts into passages, between paragraphs where it can, else between lines, else inside one. */
export function passagesOf(title: string, parts: readonly Part[]): readonly Passage[] {
  const titleWords = foldedWords(title).slice(0, maxTitleWords);
  return parts.flatMap(({ headings, line, lines }) => {
    const heading = headings.length === 0 ? null : headings.join(" › ");
    const headingWords = foldedWords(heading ?? "").slice(0, maxHeadingWords);
    return packed(paragraphs(lines, line).flatMap(unitsOf)).map(
      (units): Passage => ({
        heading,
        line: units[0]?.line ?? line,
        text: units.map(({ text, gap }, index) => (index === 0 ? text : gap + text)).join(""),
        words: { title: titleWords, heading: headingWords, body: units.flatMap(({ words }) => words) },
      }),
    );
  });
}

/** What is not cut further. */
interface Unit {
  readonly text: string;
  readonly line: number;
  /** What stands between it and the one before. */
  readonly gap: string;
  readonly words: readonly string[];
  /** How often its most frequent word is in it. */
  readonly sameWords: number;
}

function unit(text: string, line: number, gap: string): Unit {
  const words = foldedWords(text);
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return { text, line, gap, words, sameWords: Math.max(0, ...counts.values()) };
}

interface Paragraph {
  readonly line: number;
  readonly lines: readonly string[];
}

/** What blank lines divide. */
function paragraphs(lines: readonly string[], firstLine: number): readonly Paragraph[] {
  const all: { line: number; lines: string[] }[] = [];
  let isOpen = false;
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") isOpen = false;
    else if (isOpen) all.at(-1)?.lines.push(line);
    else {
      all.push({ line: firstLine + index, lines: [line] });
      isOpen = true;
    }
  }
  return all;
}

function unitsOf({ line: firstLine, lines }: Paragraph): readonly Unit[] {
  const chars = lines.reduce((sum, line) => sum + line.length + 1, 0);
  const whole = chars <= maxPassageChars ? unit(lines.join("\n"), firstLine, "\n\n") : null;
  if (whole !== null && fits(sizeOf(whole))) return [whole];
  return lines.flatMap((line, index) =>
    pieces(line).map((piece, part) => unit(piece, firstLine + index, part > 0 ? "" : index > 0 ? "\n" : "\n\n")),
  );
}

/** A line in pieces that fit, together the line. */
function pieces(line: string): readonly string[] {
  const all: string[] = [];
  let rest = line;
  do {
    let end = Math.min(rest.length, maxPieceChars);
    end = wordsOf(rest.slice(0, end))[maxPieceWords]?.start ?? end;
    // Not through a word where there is a space near, and never through a character.
    const space = end < rest.length ? rest.lastIndexOf(" ", end) : -1;
    if (space > end / 2) end = space;
    else if (end < rest.length && /[\udc00-\udfff]/.test(rest.charAt(end))) end -= 1;
    all.push(rest.slice(0, end));
    rest = rest.slice(end);
  } while (rest !== "");
  return all;
}

/** As many in each as fit. */
function packed(units: readonly Unit[]): readonly (readonly Unit[])[] {
  const all: Unit[][] = [];
  let size = nothing;
  for (const each of units) {
    const grown = sumOf(size, sizeOf(each));
    const open = all.at(-1);
    if (open !== undefined && fits(grown)) {
      open.push(each);
      size = grown;
    } else {
      all.push([each]);
      size = sizeOf(each);
    }
  }
  return all;
}

interface Size {
  readonly words: number;
  /** At most: as if it was the same one everywhere. */
  readonly sameWords: number;
  readonly chars: number;
}

const nothing: Size = { words: 0, sameWords: 0, chars: 0 };

const sizeOf = ({ text, words, sameWords }: Unit): Size => ({ words: words.length, sameWords, chars: text.length + 2 });

const sumOf = (a: Size, b: Size): Size => ({
  words: a.words + b.words,
  sameWords: a.sameWords + b.sameWords,
  chars: a.chars + b.chars,
});

const fits = ({ words, sameWords, chars }: Size): boolean =>
  words <= maxPassageWords && sameWords <= maxSameWord && chars <= maxPassageChars;
