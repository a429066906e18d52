/** Where a document of the knowledge base stands. Another document of the same key takes its place. */
export interface DocumentKey {
  readonly tenantId: string;
  readonly collection: string;
  /** With forward slashes, as it was below the folder that it came from. */
  readonly path: string;
}

/** A document as it is kept: cut into passages, and each of these with the words it is found by. */
export interface KnowledgeDocument {
  readonly key: DocumentKey;
  readonly title: string;
  readonly tags: readonly string[];
  /** The folder it was imported from. */
  readonly source: string;
  /** Of all that is kept of it: the same digest is the same document. */
  readonly digest: string;
  readonly passages: readonly Passage[];
}

/** A piece of a document that can be an answer. */
export interface Passage {
  /** The headings above it, below the document's title; null before the first of them. */
  readonly heading: string | null;
  /** Where it begins in its document, from 1. */
  readonly line: number;
  readonly text: string;
  readonly words: PassageWords;
}

/**
 * The folded words of a passage, in order: letters, digits and marks only, none empty. At most `maxPassageWords` in its body, and none of
 * them more than `maxSameWord` times in all three together.
 */
export interface PassageWords {
  readonly title: readonly string[];
  readonly heading: readonly string[];
  readonly body: readonly string[];
}

/** Words that stand beside each other in one part of a passage. */
export interface Term {
  /** Folded; at least one. */
  readonly words: readonly string[];
  /** The last word is the beginning of one. */
  readonly isPrefix: boolean;
}

/** A passage that was found, and what is known of its document. */
export interface FoundPassage {
  readonly collection: string;
  readonly path: string;
  readonly title: string;
  readonly tags: readonly string[];
  readonly heading: string | null;
  readonly line: number;
  /** Its place in its document. */
  readonly ordinal: number;
  readonly text: string;
}

export const maxPassageWords = 400;
export const maxTitleWords = 24;
export const maxHeadingWords = 31;
/** In a body; with title and heading it stays below 256, as many places of a word as an index of PostgreSQL keeps. */
export const maxSameWord = 200;
/** Characters of a word that count. */
export const maxWordChars = 64;

/** What collections and tags may be called, as a pattern and in words. */
export const knowledgeNames = {
  pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$",
  rule: "1 to 63 letters, digits, _, . and -, a letter or digit first",
} as const;

export const maxQueryBytes = 1024;
