import { openKnowledge } from "../app/knowledge.ts";
import { ExecutorError } from "../model/failure.ts";
import { knowledgeNames } from "../model/knowledge.ts";
import { quoted } from "../model/quoted.ts";
import type { DocumentSummary, KnowledgeStore } from "../ports/knowledge-store.ts";
import type { CliContext } from "./context.ts";
import { say, table, written } from "./io.ts";
import { badFlag } from "./quantities.ts";

/** `toolx knowledge ls`: the collections of a tenant, or the documents of one of them. @throws ExecutorError validation | internal */
export async function knowledgeLs(
  context: CliContext,
  collection: string | undefined,
  { tenant, output }: { readonly tenant: string; readonly output: string },
): Promise<void> {
  await using store = await openLocalKnowledge(context, tenant);
  const rows =
    collection === undefined
      ? await collections(context, store, tenant)
      : await documents(context, store, tenant, knowledgeName("collection", collection));
  if (output === "json")
    return await written(context.io.stdout, rows.map(({ shown }) => `${JSON.stringify(shown)}\n`).join(""));
  const heading =
    collection === undefined
      ? ["COLLECTION", "DOCUMENTS", "PASSAGES", "CHANGED"]
      : ["PATH", "TITLE", "TAGS", "PASSAGES", "CHANGED"];
  await written(context.io.stdout, table([heading, ...rows.map(({ cells }) => cells)]));
}

/** `toolx knowledge rm`. @throws ExecutorError validation, where there is nothing to take away; internal */
export async function knowledgeRm(
  context: CliContext,
  collection: string,
  { tenant, path }: { readonly tenant: string; readonly path?: string },
): Promise<void> {
  const { io } = context;
  const key = { tenantId: tenant, collection: knowledgeName("collection", collection) };
  await using store = await openLocalKnowledge(context, tenant);
  const folder = path?.replace(/\/*$/, "/");
  const isMeant = (each: string): boolean =>
    path === undefined || each === path || each.startsWith(folder ?? "") || each.startsWith(`${path}#`);
  let count = 0;
  for await (const some of documentPages(store, key, io.interrupt)) {
    const paths = some.map((each) => each.path).filter(isMeant);
    if (paths.length > 0) count += await store.remove(key, paths, io.interrupt);
  }
  if (count === 0) {
    const what = path === undefined ? `no collection ${quoted(collection)}` : `no document at ${quoted(path, 200)}`;
    throw new ExecutorError("validation", `${what} of tenant ${tenant}`, {
      hint: path === undefined ? "toolx knowledge ls lists them" : `toolx knowledge ls ${collection} lists them`,
    });
  }
  say(io, `removed  ${count} document${count === 1 ? "" : "s"} of ${collection}`);
}

/**
 * The knowledge base of this data folder, or of the database of its configuration.
 * @throws ExecutorError validation, where the commands are for a server elsewhere, whose documents these would not be.
 */
export async function openLocalKnowledge(context: CliContext, tenant: string): Promise<KnowledgeStore> {
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(tenant))
    throw badFlag("--tenant", tenant, "1 to 63 letters, digits, _ and -");
  const config = context.config();
  if (config.url !== "") {
    throw new ExecutorError(
      "validation",
      "TOOL_EXECUTOR_URL names a server, and documents are kept where its tasks are",
      {
        hint: "call this on the server's machine, or with its DATABASE_URL, and without TOOL_EXECUTOR_URL",
      },
    );
  }
  return await openKnowledge(config);
}

/** @throws ExecutorError validation */
export function knowledgeName(flag: string, name: string): string {
  if (!new RegExp(knowledgeNames.pattern).test(name)) throw badFlag(flag, name, knowledgeNames.rule);
  return name;
}

/** Removed before the next page are only those of the page before. */
export async function* documentPages(
  store: KnowledgeStore,
  key: { readonly tenantId: string; readonly collection: string },
  signal: AbortSignal,
): AsyncGenerator<readonly DocumentSummary[]> {
  let after: string | null = null;
  for (;;) {
    // Few at once: another process may wait to write.
    const page: readonly DocumentSummary[] = await store.listDocuments(key, after, 100, signal);
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    after = last.path;
  }
}

interface Row {
  readonly shown: object;
  readonly cells: readonly string[];
}

async function collections({ io }: CliContext, store: KnowledgeStore, tenant: string): Promise<readonly Row[]> {
  const all = await store.listCollections(tenant, io.interrupt);
  return all.map(({ collection, documentCount, passageCount, changedAt }) => ({
    shown: { collection, documents: documentCount, passages: passageCount, changed_at: iso(changedAt) },
    cells: [collection, String(documentCount), String(passageCount), iso(changedAt)],
  }));
}

async function documents(
  { io }: CliContext,
  store: KnowledgeStore,
  tenantId: string,
  collection: string,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for await (const page of documentPages(store, { tenantId, collection }, io.interrupt))
    for (const { path, title, tags, source, passageCount, changedAt } of page)
      rows.push({
        shown: { path, title, tags, source, passages: passageCount, changed_at: iso(changedAt) },
        cells: [path, title, tags.join(",") || "-", String(passageCount), iso(changedAt)],
      });
  return rows;
}

const iso = (at: number): string => new Date(at).toISOString();
