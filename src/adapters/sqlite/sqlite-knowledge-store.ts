import type { SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import type { DocumentKey, FoundPassage, KnowledgeDocument, Term } from "../../model/knowledge.ts";
import { tenantMark } from "../../model/tenant-mark.ts";
import type { Clock } from "../../ports/clock.ts";
import {
  type CollectionSummary,
  type DocumentSummary,
  type KnowledgeStore,
  maxCounted,
  type PutOutcome,
  type Sought,
} from "../../ports/knowledge-store.ts";
import { immediately } from "./immediately.ts";
import * as statements from "./knowledge-statements.ts";
import { openDatabase } from "./open-database.ts";
import { sqliteFailure } from "./sqlite-failure.ts";

/**
 * The knowledge base of one machine, in the file of its task store, with FTS5. Several processes may share the file; a call blocks its thread,
 * a `put` for as long as one document takes to be written.
 * @throws ExecutorError internal, for a file that cannot be used.
 */
export function sqliteKnowledgeStore(path: string, clock: Pick<Clock, "now">): KnowledgeStore {
  const database = openDatabase(path);
  const prepared = new Map<string, StatementSync>();
  const prepare = (sql: string): StatementSync => {
    const statement = prepared.get(sql) ?? database.prepare(sql);
    prepared.set(sql, statement);
    return statement;
  };
  const rows = (sql: string, values: Values): readonly Row[] => prepare(sql).all(values);
  const row = (sql: string, values: Values): Row | undefined => prepare(sql).get(values);
  const run = (sql: string, values: Values): void => void prepare(sql).run(values);

  const call = async <T>(signal: AbortSignal, work: () => T): Promise<T> => {
    signal.throwIfAborted();
    try {
      return work();
    } catch (cause) {
      throw sqliteFailure(path, cause);
    }
  };

  const drop = (key: DocumentKey): Row | undefined => {
    const found = row(statements.selectDocument, { ...key });
    if (found?.id === undefined) return undefined;
    for (const sql of [statements.dropWords, statements.dropPassages, statements.dropDocument])
      run(sql, { id: found.id });
    return found;
  };

  const insert = ({ key, title, tags, source, digest, passages }: KnowledgeDocument): void => {
    const { tenantId } = key;
    const wordCount = passages.reduce((sum, { words }) => sum + words.body.length, 0);
    const values = {
      ...key,
      title,
      tags: JSON.stringify(tags),
      source,
      digest,
      passageCount: passages.length,
      wordCount,
    };
    const id = row(statements.insertDocument, { ...values, now: clock.now() })?.id ?? null;
    const spelt = spelling(tenantId);
    for (const [ordinal, { heading, line, text, words }] of passages.entries()) {
      const passage = { id, tenantId, ordinal, heading, line, text, wordCount: words.body.length };
      const passageId = row(statements.insertPassage, passage)?.id ?? null;
      run(statements.insertWords, {
        id: passageId,
        title: spelt(words.title),
        heading: spelt(words.heading),
        body: spelt(words.body),
      });
    }
  };

  return {
    put: (document, signal) =>
      call(signal, () =>
        immediately(database, (): PutOutcome => {
          const known = row(statements.selectDocument, { ...document.key });
          if (known?.digest === document.digest) return "unchanged";
          drop(document.key);
          insert(document);
          return known === undefined ? "added" : "changed";
        }),
      ),
    remove: (key, paths, signal) =>
      call(signal, () =>
        immediately(database, () => paths.filter((each) => drop({ ...key, path: each }) !== undefined).length),
      ),
    listCollections: (tenantId, signal) =>
      call(signal, () => rows(statements.listCollections, { tenantId }).map(collectionSummary)),
    listDocuments: (key, after, limit, signal) =>
      call(signal, () =>
        rows(statements.listDocuments, { ...key, after, limit: atMost1000(limit) }).map(documentSummary),
      ),
    measure: (tenantId, terms, signal) =>
      call(signal, () => {
        const total = row(statements.totals, { tenantId });
        const count = (term: Term): number => {
          const values = { tenantId, match: matchTerm(tenantId, term), atMost: maxCounted };
          return Number(row(statements.countFound, values)?.found);
        };
        return { passageCount: Number(total?.passages), wordCount: Number(total?.words), found: terms.map(count) };
      }),
    find: (sought, limit, signal) =>
      call(signal, () => {
        const { tenantId, collection, tags } = sought;
        const values = { tenantId, collection, tags: JSON.stringify(tags), limit: atMost1000(limit) };
        return rows(statements.find, { ...values, ...matches(sought) }).map(foundPassage);
      }),
    async [Symbol.asyncDispose]() {
      if (database.isOpen) database.close();
    },
  };
}

type Values = Readonly<Record<string, SQLInputValue>>;
type Row = Readonly<Record<string, SQLOutputValue>>;

const spelling = (tenantId: string): ((words: readonly string[]) => string) => {
  const mark = tenantMark(tenantId);
  return (words) => words.map((word) => mark + word).join(" ");
};

/** A term as FTS5 reads it. SAFETY: words are letters, digits and marks, so nothing in them ends the quotes. */
const matchTerm = (tenantId: string, { words, isPrefix }: Term): string =>
  `"${spelling(tenantId)(words)}"${isPrefix ? " *" : ""}`;

function matches({ tenantId, all, none }: Sought): { readonly match: string; readonly inHeadings: string } {
  const joined = (terms: readonly Term[], by: string): string =>
    `(${terms.map((term) => matchTerm(tenantId, term)).join(` ${by} `)})`;
  const wanted = joined(all, "AND");
  return {
    match: none.length === 0 ? wanted : `${wanted} NOT ${joined(none, "OR")}`,
    inHeadings: `{title heading} : ${wanted}`,
  };
}

const tagsOf = (row: Row): readonly string[] => JSON.parse(String(row.tags));

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
