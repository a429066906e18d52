import type { Hit, Ranked } from "./rank.ts";

/** Words of a text that are shown. */
const windowWords = 48;
const maxChars = 600;
/** Words before the first that was looked for. */
const leadWords = 6;

/** Put around what was looked for. The text's own are left out of a snippet. */
export const mark = "**";

/** The part of a passage in which most of what was looked for stands, as one line, with {@link mark}s around it. */
export function snippet({ passage, words, hits }: Pick<Ranked, "passage" | "words" | "hits">): string {
  const first = Math.max(0, bestStart(hits) - leadWords);
  const start = first === 0 ? 0 : (words[first]?.start ?? 0);
  const isLast = first + windowWords >= words.length;
  const whole = isLast ? passage.text.length : (words[first + windowWords]?.start ?? passage.text.length);
  const end = Math.min(whole, start + maxChars);
  const text = marked(passage.text, start, end, markedRanges({ words, hits }, start, end));
  return `${start > 0 ? "… " : ""}${text}${end < passage.text.length ? " …" : ""}`;
}

/** The hit from which on a window has most, each place counted by how much it says; the first of several. */
function bestStart(hits: readonly Hit[]): number {
  const sorted = hits.toSorted((one, other) => one.at - other.at);
  let [best, bestWeight] = [0, -1];
  for (const [index, { at }] of sorted.entries()) {
    const seen = new Set<number>();
    let weight = 0;
    for (const hit of sorted.slice(index, index + windowWords)) {
      if (hit.at >= at + windowWords - leadWords) break;
      // Another term says something new; the same once more hardly does.
      weight += seen.has(hit.weight) ? hit.weight / 8 : hit.weight;
      seen.add(hit.weight);
    }
    if (weight > bestWeight + 1e-9) [best, bestWeight] = [at, weight];
  }
  return best;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/** What is marked between two places of the text, in order; what overlaps is one. */
function markedRanges({ words, hits }: Pick<Ranked, "words" | "hits">, start: number, end: number): readonly Range[] {
  const ranges: { start: number; end: number }[] = [];
  for (const { at, wordCount } of hits.toSorted((one, other) => one.at - other.at)) {
    const range = { start: words[at]?.start ?? 0, end: words[at + wordCount - 1]?.end ?? 0 };
    if (range.start < start || range.end > end) continue;
    const last = ranges.at(-1);
    if (last !== undefined && range.start < last.end) last.end = Math.max(last.end, range.end);
    else ranges.push(range);
  }
  return ranges;
}

function marked(text: string, start: number, end: number, ranges: readonly Range[]): string {
  const plain = (from: number, to: number): string => text.slice(from, to).replaceAll(mark, "");
  let at = start;
  let all = "";
  for (const range of ranges) {
    all += `${plain(at, range.start)}${mark}${plain(range.start, range.end)}${mark}`;
    at = range.end;
  }
  return (all + plain(at, end)).replaceAll(/\s+/g, " ").trim().toWellFormed();
}
