import type { FoundPassage, KnowledgeDocument, Passage, PassageWords, Term } from "../../model/knowledge.ts";
import { tenantMark } from "../../model/tenant-mark.ts";
import {
  type CollectionSummary,
  type DocumentSummary,
  type KnowledgeStore,
  maxCounted,
  type Sought,
} from "../../ports/knowledge-store.ts";
import { type CallBounds, openConnections, type Row } from "./connections.ts";
import type { DatabaseAddress } from "./database-address.ts";
import * as statements from "./knowledge-statements.ts";
import { requireSchema } from "./schema.ts";

/**
 * The knowledge base in the database of the tasks. Words are looked for in an index of `tsvector`s, which are made here: no configuration of the
 * server's has a say in what a word is. A document is put in one transaction.
 * @throws ExecutorError internal, for a database that cannot be reached or whose schema is not this version's.
 */
export async function postgresKnowledgeStore(
  address: DatabaseAddress,
  signal: AbortSignal,
  bounds: CallBounds = knowledgeCallBounds,
): Promise<KnowledgeStore> {
  await using stack = new AsyncDisposableStack();
  const connections = stack.use(openConnections(address, bounds));
  await requireSchema(connections, signal);
  const { rows, transaction } = connections;

  const held = stack.move();
  return {
    put: (document, signal) =>
      transaction(async (rows) => {
        const [put] = await rows(statements.putDocument, documentValues(document));
        if (put === undefined) return "unchanged";
        const id = String(put.id);
        await rows(statements.dropPassages, { id });
        const { key, passages } = document;
        const given = JSON.stringify(passages.map((passage, ordinal) => passageRow(key.tenantId, passage, ordinal)));
        await rows(statements.insertPassages, { id, tenantId: key.tenantId, passages: given });
        return put.is_new === true ? "added" : "changed";
      }, signal),
    async remove(key, paths, signal) {
      const [removed] = await rows(statements.remove, { ...key, paths }, signal);
      return Number(removed?.gone);
    },
    async listCollections(tenantId, signal) {
      return (await rows(statements.listCollections, { tenantId }, signal, "twice is once")).map(collectionSummary);
    },
    async listDocuments(key, after, limit, signal) {
      const values = { ...key, after, limit: atMost1000(limit) };
      return (await rows(statements.listDocuments, values, signal, "twice is once")).map(documentSummary);
    },
    measure: (tenantId, terms, signal) =>
      transaction(async (rows) => {
        await rows(statements.byWords);
        const [total] = await rows(statements.totals, { tenantId });
        const queries = terms.map((term) => queryTerm(tenantId, term));
        const found = await rows(statements.countFound, { tenantId, queries, atMost: maxCounted });
        return {
          passageCount: Number(total?.passages),
          wordCount: Number(total?.words),
          found: found.map((each) => Number(each.found)),
        };
      }, signal),
    find: (sought, limit, signal) =>
      transaction(async (rows) => {
        await rows(statements.byWords);
        const { tenantId, collection, tags } = sought;
        const values = { tenantId, collection, tags, limit: atMost1000(limit), ...queriesOf(sought) };
        return (await rows(statements.find, values)).map(foundPassage);
      }, signal),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** A document of the largest takes seconds. */
const knowledgeCallBounds: CallBounds = { callMs: 30_000, retryMs: 2000 };

function documentValues({ key, title, tags, source, digest, passages }: KnowledgeDocument) {
  const wordCount = passages.reduce((sum, { words }) => sum + words.body.length, 0);
  return { ...key, title, tags, source, digest, passageCount: passages.length, wordCount };
}

const passageRow = (tenantId: string, { heading, line, text, words }: Passage, ordinal: number) => ({
  ...{ ordinal, heading, line, text },
  word_count: words.body.length,
  words: vector(tenantId, words),
});

/**
 * A `tsvector` in its own words: each lexeme with its places, and the weight of the part that each is in. Parts are two places apart, so that no
 * phrase reaches from one into the next.
 */
function vector(tenantId: string, { title, heading, body }: PassageWords): string {
  const mark = tenantMark(tenantId);
  const places = new Map<string, string[]>();
  let at = 0;
  for (const [words, weight] of [
    [title, "A"],
    [heading, "B"],
    [body, "D"],
  ] as const) {
    at += 1;
    for (const word of words) {
      at += 1;
      const known = places.get(word);
      if (known === undefined) places.set(word, [`${at}${weight}`]);
      else known.push(`${at}${weight}`);
    }
  }
  return [...places].map(([word, where]) => `'${mark}${word}':${where.join(",")}`).join(" ");
}

/** A term as a `tsquery`. SAFETY: words are letters, digits and marks, so nothing in them ends the quotes. */
function queryTerm(tenantId: string, { words, isPrefix }: Term, weights = ""): string {
  const mark = tenantMark(tenantId);
  const lexemes = words.map((word, index) => {
    const label = (isPrefix && index === words.length - 1 ? "*" : "") + weights;
    return `'${mark}${word}'${label === "" ? "" : `:${label}`}`;
  });
  return `(${lexemes.join(" <-> ")})`;
}

function queriesOf({ tenantId, all, none }: Sought): { readonly match: string; readonly inHeadings: string } {
  const wanted = all.map((term) => queryTerm(tenantId, term)).join(" & ");
  const unwanted = none.map((term) => ` & !${queryTerm(tenantId, term)}`).join("");
  return { match: wanted + unwanted, inHeadings: all.map((term) => queryTerm(tenantId, term, "AB")).join(" & ") };
}

const tagsOf = (row: Row): readonly string[] => (Array.isArray(row.tags) ? row.tags.map(String) : []);

const collectionSummary = (row: Row): CollectionSummary => ({
  collection: String(row.collection),
  documentCount: Number(row.documents),
  passageCount: Number(row.passages),
  changedAt: Number(row.changed_at),
});

const documentSummary = (row: Row): DocumentSummary => ({
  path: String(row.path),
  title: String(row.title),
  tags: tagsOf(row),
  source: String(row.source),
  passageCount: Number(row.passage_count),
  changedAt: Number(row.changed_at),
});

const foundPassage = (row: Row): FoundPassage => ({
  collection: String(row.collection),
  path: String(row.path),
  title: String(row.title),
  tags: tagsOf(row),
  heading: row.heading === null ? null : String(row.heading),
  line: Number(row.line),
  ordinal: Number(row.ordinal),
  text: String(row.text),
});

const atMost1000 = (limit: number): number => Math.min(Math.max(limit, 1), 1000);
