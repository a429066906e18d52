import { ExecutorError } from "../model/failure.ts";
import type { FoundPassage, Term } from "../model/knowledge.ts";
import { quoted } from "../model/quoted.ts";
import type { KnowledgeStore, Measures, Sought } from "../ports/knowledge-store.ts";
import { defaultAnswers, type KnowledgeAnswer, type KnowledgeRequest } from "../schema/knowledge-schema.ts";
import { parseQuery, type Query } from "./query.ts";
import { type Ranked, rank } from "./rank.ts";
import { snippet } from "./snippet.ts";

/** Passages that are ranked. Of more the store gives those first that have the words in their headings, then the shortest. */
export const maxRanked = 400;

/**
 * What a tenant's documents say to a query. All words must be there; where no passage has them all, those count that have some, of the rarest
 * word first.
 * @throws ExecutorError validation, for a query that is none and for a collection that is not there.
 */
export async function searchKnowledge(
  store: KnowledgeStore,
  tenantId: string,
  request: KnowledgeRequest,
  signal: AbortSignal,
): Promise<KnowledgeAnswer> {
  const query = parseQuery(request.query);
  const { collection = null, tags = [], limit = defaultAnswers } = request;
  if (collection !== null) await requireCollection(store, tenantId, collection, signal);
  const measures = await store.measure(tenantId, query.all, signal);
  const sought = { tenantId, collection, tags, none: query.none };
  const { matched, found } = await candidates(store, sought, query, measures, signal);
  const ranked = rank(found, query.all, measures);
  return {
    query: request.query,
    matched,
    more: ranked.length > limit,
    answers: ranked.slice(0, limit).map(answerOf),
  };
}

interface Candidates {
  readonly matched: KnowledgeAnswer["matched"];
  readonly found: readonly FoundPassage[];
}

async function candidates(
  store: KnowledgeStore,
  sought: Omit<Sought, "all">,
  { all }: Query,
  measures: Measures,
  signal: AbortSignal,
): Promise<Candidates> {
  const known = all.filter((_, index) => (measures.found[index] ?? 0) > 0);
  if (known.length === all.length) {
    const found = await store.find({ ...sought, all }, maxRanked, signal);
    if (found.length > 0) return { matched: "all", found };
    if (all.length === 1) return { matched: "none", found };
  }
  const found = await withAny(store, sought, rarestFirst(all, measures), signal);
  return { matched: found.length > 0 ? "any" : "none", found };
}

function rarestFirst(terms: readonly Term[], { found }: Measures): readonly Term[] {
  return terms
    .map((term, index) => ({ term, count: found[index] ?? 0 }))
    .filter(({ count }) => count > 0)
    .sort((one, other) => one.count - other.count)
    .map(({ term }) => term);
}

async function withAny(
  store: KnowledgeStore,
  sought: Omit<Sought, "all">,
  terms: readonly Term[],
  signal: AbortSignal,
): Promise<readonly FoundPassage[]> {
  const found = new Map<string, FoundPassage>();
  for (const term of terms) {
    if (found.size >= maxRanked) break;
    for (const passage of await store.find({ ...sought, all: [term] }, maxRanked, signal)) {
      const { collection, path, ordinal } = passage;
      if (found.size < maxRanked) found.set(JSON.stringify([collection, path, ordinal]), passage);
    }
  }
  return [...found.values()];
}

async function requireCollection(
  store: KnowledgeStore,
  tenantId: string,
  collection: string,
  signal: AbortSignal,
): Promise<void> {
  const names = (await store.listCollections(tenantId, signal)).map((each) => each.collection);
  if (names.includes(collection)) return;
  const there = names.length === 0 ? "there is none" : `there are ${names.slice(0, 20).join(", ")}`;
  const message = `no collection is named ${quoted(collection)}; ${there}`;
  throw new ExecutorError("validation", message, { details: [{ path: "/collection", message }] });
}

function answerOf(ranked: Ranked): KnowledgeAnswer["answers"][number] {
  const { path, title, heading, line, collection, tags } = ranked.passage;
  const score = Math.round(ranked.score * 1000) / 1000;
  return { path, title, heading, line, collection, tags, score, snippet: snippet(ranked) };
}
