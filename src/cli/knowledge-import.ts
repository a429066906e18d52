import { documentsOf, type Read } from "../knowledge/document.ts";
import type { DocumentKey } from "../model/knowledge.ts";
import { quoted } from "../model/quoted.ts";
import type { DocumentSummary, KnowledgeStore } from "../ports/knowledge-store.ts";
import type { CliContext } from "./context.ts";
import { say, written } from "./io.ts";
import { documentPages, knowledgeName, openLocalKnowledge } from "./knowledge.ts";
import { readSource, type SourceFile, sourceFiles } from "./knowledge-files.ts";
import { badFlag } from "./quantities.ts";

interface ImportFlags {
  readonly collection: string;
  readonly tag: readonly string[];
  readonly prune?: boolean;
  readonly tenant: string;
  readonly output: string;
}

type Collection = Omit<DocumentKey, "path">;

/** What became of the documents. */
interface Report {
  added: number;
  changed: number;
  unchanged: number;
  removed: number;
  passed_over: number;
  readonly refused: { readonly path: string; readonly why: string }[];
}

/** The most documents of one tenant. */
const maxDocuments = 100_000;

/**
 * `toolx knowledge import`: what is new or has changed is written, a document at a time; what cannot be taken is named, and the exit code is 1.
 * With `prune` what came from the same folders before and was not met now goes.
 * @throws ExecutorError validation | internal
 */
export async function knowledgeImport(
  context: CliContext,
  sources: readonly string[],
  flags: ImportFlags,
): Promise<void> {
  const { io } = context;
  const key = { tenantId: flags.tenant, collection: knowledgeName("--collection", flags.collection) };
  const tags = flags.tag.map((tag) => knowledgeName("--tag", tag));
  if (tags.length > 16) throw badFlag("--tag", tags.at(-1) ?? "", "at most 16 tags");
  await using store = await openLocalKnowledge(context, flags.tenant);
  const { files, folders, passedOver } = await sourceFiles(sources, io.cwd);
  const report: Report = { added: 0, changed: 0, unchanged: 0, removed: 0, passed_over: passedOver, refused: [] };
  const met = new Set<string>();
  const spoilt: string[] = [];
  const room = roomFor(
    store,
    key,
    maxDocuments - (await documentCount(store, flags.tenant, io.interrupt)),
    io.interrupt,
  );
  const refuse = (file: SourceFile, path: string, why: string): void => {
    report.refused.push({ path, why });
    spoilt.push(file.path);
  };
  for (const file of files) {
    for (const read of await documentsIn(file, key, tags)) {
      if (read.kind === "refused") refuse(file, read.path, read.why);
      else if (!(await room.has(read.document.key.path)))
        refuse(file, read.document.key.path, `is one more than the ${maxDocuments} documents a tenant may have`);
      else {
        const outcome = await store.put(read.document, io.interrupt);
        report[outcome] += 1;
        if (outcome === "added") room.taken();
        met.add(read.document.key.path);
      }
    }
  }
  if (flags.prune === true) {
    // What could not be read now stays as it was.
    const isGone = ({ path, source }: DocumentSummary): boolean =>
      folders.includes(source) &&
      !met.has(path) &&
      !spoilt.some((each) => path === each || path.startsWith(`${each}#`));
    report.removed = await prune(store, key, isGone, io.interrupt);
  }
  await tell(context, report, flags.output === "json");
  if (report.refused.length > 0) context.exitWith(1);
}

async function documentsIn(file: SourceFile, key: Collection, tags: readonly string[]): Promise<Iterable<Read>> {
  const bytes = await readSource(file);
  if (typeof bytes === "string") return [{ kind: "refused", path: file.path, why: bytes }];
  return documentsOf({ key: { ...key, path: file.path }, tags, source: file.source, kind: file.kind, bytes });
}

async function documentCount(store: KnowledgeStore, tenantId: string, signal: AbortSignal): Promise<number> {
  const all = await store.listCollections(tenantId, signal);
  return all.reduce((sum, each) => sum + each.documentCount, 0);
}

/** How many more documents there may be; which those are that are there already is looked up when it is none. */
function roomFor(store: KnowledgeStore, key: Collection, room: number, signal: AbortSignal) {
  let known: Promise<ReadonlySet<string>> | null = null;
  return {
    async has(path: string): Promise<boolean> {
      if (room > 0) return true;
      known ??= pathsOf(store, key, signal);
      return (await known).has(path);
    },
    taken(): void {
      room -= 1;
    },
  };
}

async function pathsOf(store: KnowledgeStore, key: Collection, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const paths = new Set<string>();
  for await (const page of documentPages(store, key, signal)) for (const { path } of page) paths.add(path);
  return paths;
}

async function prune(
  store: KnowledgeStore,
  key: Collection,
  isGone: (document: DocumentSummary) => boolean,
  signal: AbortSignal,
): Promise<number> {
  let removed = 0;
  for await (const page of documentPages(store, key, signal)) {
    const gone = page.filter(isGone).map(({ path }) => path);
    if (gone.length > 0) removed += await store.remove(key, gone, signal);
  }
  return removed;
}

async function tell({ io }: CliContext, report: Report, json: boolean): Promise<void> {
  for (const { path, why } of report.refused) say(io, `refused  ${quoted(path, 200)} ${why}`);
  if (json) return await written(io.stdout, `${JSON.stringify(report)}\n`);
  const { added, changed, unchanged, removed, passed_over, refused } = report;
  const counts = { added, changed, unchanged, removed, refused: refused.length, "passed over": passed_over };
  const always = ["added", "changed", "unchanged", "refused"];
  const said = Object.entries(counts)
    .filter(([what, count]) => count > 0 || always.includes(what))
    .map(([what, count]) => `${what} ${count}`);
  say(io, `knowledge  ${said.join(" · ")}`);
}
