import type { DocumentKey, FoundPassage, KnowledgeDocument, Term } from "../model/knowledge.ts";

/** What a query looks for, in the documents of one tenant. */
export interface Sought {
  readonly tenantId: string;
  /** Every one of them, in whichever part of a passage. At least one. */
  readonly all: readonly Term[];
  /** None of them. */
  readonly none: readonly Term[];
  /** Null: in all. */
  readonly collection: string | null;
  /** The document has every one of them. */
  readonly tags: readonly string[];
}

/** How much there is, and how rare each term is. */
export interface Measures {
  readonly passageCount: number;
  /** In the bodies of all passages. */
  readonly wordCount: number;
  /** In how many passages each term is, in the order in which they were asked for; at most {@link maxCounted}. */
  readonly found: readonly number[];
}

/** A term in more passages than these is as common as any. */
export const maxCounted = 10_000;

export interface CollectionSummary {
  readonly collection: string;
  readonly documentCount: number;
  readonly passageCount: number;
  /** Unix ms. */
  readonly changedAt: number;
}

export interface DocumentSummary {
  readonly path: string;
  readonly title: string;
  readonly tags: readonly string[];
  readonly source: string;
  readonly passageCount: number;
  /** Unix ms. */
  readonly changedAt: number;
}

export type PutOutcome = "added" | "changed" | "unchanged";

/**
 * Documents by tenant, and the passages of them that have given words. It finds and counts, and ranks nothing: every adapter finds the same
 * passages in the same order, and what is made of them is one thing for all (`src/knowledge/`). No call sees another tenant's.
 * @throws ExecutorError internal, when the store cannot be used.
 */
export interface KnowledgeStore extends AsyncDisposable {
  /** Whole or not at all; where the same digest is there already, nothing is written. */
  put(document: KnowledgeDocument, signal: AbortSignal): Promise<PutOutcome>;
  /** Answers how many of these there were. At most 1000 at once. */
  remove(key: Omit<DocumentKey, "path">, paths: readonly string[], signal: AbortSignal): Promise<number>;
  /** By name, in byte order. */
  listCollections(tenantId: string, signal: AbortSignal): Promise<readonly CollectionSummary[]>;
  /** By path, in byte order, from behind `after`; at most 1000. */
  listDocuments(
    key: Omit<DocumentKey, "path">,
    after: string | null,
    limit: number,
    signal: AbortSignal,
  ): Promise<readonly DocumentSummary[]>;
  /** Over all of the tenant's documents. */
  measure(tenantId: string, terms: readonly Term[], signal: AbortSignal): Promise<Measures>;
  /**
   * Passages that have what is sought: first those that have all of it in title and headings, of both the shorter first, then by
   * collection, path (byte order) and place. At most 1000.
   */
  find(sought: Sought, limit: number, signal: AbortSignal): Promise<readonly FoundPassage[]>;
}
