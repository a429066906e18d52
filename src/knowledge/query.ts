import { ExecutorError } from "../model/failure.ts";
import { maxQueryBytes, type Term } from "../model/knowledge.ts";
import { quoted } from "../model/quoted.ts";
import { foldedWords } from "./words.ts";

/** What must be there, and what must not. */
export interface Query {
  /** At least one. */
  readonly all: readonly Term[];
  readonly none: readonly Term[];
}

export const maxTerms = 32;
/** In all terms together. */
export const maxQueryWords = 64;
const minPrefixChars = 2;

/**
 * Words, "phrases", `begin*` and `-not`, divided by spaces. What holds several words, such as `fs.open`, is a phrase of them; what holds none
 * is passed over.
 * @throws ExecutorError validation, saying what is wrong with the query and what would not be.
 */
export function parseQuery(text: string): Query {
  const bytes = Buffer.byteLength(text);
  if (bytes > maxQueryBytes) throw bad(`is ${bytes} bytes long, at most ${maxQueryBytes}`);
  const [all, none]: [Term[], Term[]] = [[], []];
  for (const { 1: minus = "", 2: phrase, 3: chunk = "", 4: star = "" } of text.matchAll(piece)) {
    const term = termOf(phrase ?? chunk, star !== "", phrase === undefined);
    if (term !== null) (minus === "" ? all : none).push(term);
  }
  const terms = [...all, ...none];
  const wordCount = terms.reduce((sum, { words }) => sum + words.length, 0);
  if (terms.length > maxTerms) throw bad(`has ${terms.length} terms, at most ${maxTerms}`);
  if (wordCount > maxQueryWords) throw bad(`has ${wordCount} words, at most ${maxQueryWords}`);
  if (all.length > 0) return { all, none };
  throw none.length > 0
    ? bad("says only what must not be there; add a word that must")
    : bad("has no word: letters or digits are looked for");
}

/** A minus before a word or phrase, a phrase or what is between spaces, and an asterisk behind it. */
const piece = /(-(?=["\p{L}\p{N}]))?(?:"([^"]*)"|([^\s"*]+|"))(\*(?=\s|$))?|(?<stray>\*)/gu;

function termOf(text: string, isPrefix: boolean, isBare: boolean): Term | null {
  if (isBare && text === '"') throw bad('has a " without its other one');
  if (isBare && text === "") throw bad("has a * that is not at the end of a word");
  const words = foldedWords(text);
  const last = words.at(-1);
  if (last === undefined) {
    if (isPrefix) throw bad("has a * that is not at the end of a word");
    return null;
  }
  if (isPrefix && [...last].length < minPrefixChars)
    throw bad(`has ${quoted(`${last}*`)}, and before a * stand at least ${minPrefixChars} letters`);
  return { words, isPrefix };
}

function bad(why: string): ExecutorError {
  const message = `query ${why}`;
  return new ExecutorError("validation", message, {
    hint: 'words that must all be there, "a phrase", the beginning* of a word, -without',
    details: [{ path: "/query", message }],
  });
}
