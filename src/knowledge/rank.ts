import type { FoundPassage, Term } from "../model/knowledge.ts";
import type { Measures } from "../ports/knowledge-store.ts";
import { foldedWords, type Word, wordsOf } from "./words.ts";

/** A passage, how well it fits, and where in its text. */
export interface Ranked {
  readonly passage: FoundPassage;
  readonly score: number;
  readonly words: readonly Word[];
  readonly hits: readonly Hit[];
}

/** A term in the words of a text. */
export interface Hit {
  /** Of its first word. */
  readonly at: number;
  readonly wordCount: number;
  readonly weight: number;
}

/** How fast more of the same word counts less, and how much a long text does. */
const [k1, b] = [1.2, 0.75];
/** A word of a heading says more about what is below it than one that stands there. */
const [titleWeight, headingWeight] = [2, 3];

/**
 * BM25F: each term by how rare it is among all passages, and by how often it is in title, headings and text. The best first; what is equal
 * stays in the order in which it came.
 * @param measures of the same terms, in their order.
 */
export function rank(found: readonly FoundPassage[], terms: readonly Term[], measures: Measures): readonly Ranked[] {
  const averageWords = Math.max(1, measures.wordCount / Math.max(1, measures.passageCount));
  const weights = terms.map((_, index) => rarity(measures.found[index] ?? 0, measures.passageCount));
  return found
    .map((passage): Ranked => {
      const words = wordsOf(passage.text);
      const [title, heading, body] = [
        foldedWords(passage.title),
        foldedWords(passage.heading ?? ""),
        words.map(({ folded }) => folded),
      ];
      const length = 1 - b + b * (body.length / averageWords);
      const hits: Hit[] = [];
      let score = 0;
      for (const [index, term] of terms.entries()) {
        const weight = weights[index] ?? 0;
        const places = placesOf(term, body);
        hits.push(...places.map((at) => ({ at, wordCount: term.words.length, weight })));
        const count =
          titleWeight * placesOf(term, title).length +
          headingWeight * placesOf(term, heading).length +
          places.length / length;
        score += (weight * count) / (k1 + count);
      }
      return { passage, score, words, hits };
    })
    .sort((one, other) => other.score - one.score);
}

/** Above 0 for the most common word too. */
const rarity = (found: number, passageCount: number): number =>
  Math.log(1 + (Math.max(0, passageCount - found) + 0.5) / (found + 0.5));

/** Where a term begins among words. */
export function placesOf({ words, isPrefix }: Term, among: readonly string[]): readonly number[] {
  const places: number[] = [];
  const lastIndex = words.length - 1;
  for (let at = 0; at + lastIndex < among.length; at += 1) {
    const isThere = words.every((word, index) =>
      isPrefix && index === lastIndex ? among[at + index]?.startsWith(word) : among[at + index] === word,
    );
    if (isThere) places.push(at);
  }
  return places;
}
