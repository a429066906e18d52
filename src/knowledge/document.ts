import { createHash } from "node:crypto";
import { basename, extname } from "node:path/posix";
import { ExecutorError } from "../model/failure.ts";
import type { DocumentKey, KnowledgeDocument } from "../model/knowledge.ts";
import { knowledgeNameSchema } from "../schema/knowledge-schema.ts";
import { parseJson } from "../schema/parse-json.ts";
import { validator } from "../schema/validator.ts";
import { markdownOutline, textOutline } from "./outline.ts";
import { passagesOf } from "./passages.ts";

/** Goes up when documents are cut or folded in another way: then each is changed at its next import. */
const cutVersion = 1;

/** A longer document is no answer to anything, and would hold the store for too long. */
export const maxDocumentBytes = 2 * 1024 * 1024;
/** A file of many documents, a line each. */
export const maxLinesFileBytes = 64 * 1024 * 1024;

/** What a file is, by the end of its name. */
export type FileKind = "markdown" | "text" | "lines";

const kinds: Readonly<Record<string, FileKind>> = {
  ".md": "markdown",
  ".markdown": "markdown",
  ".mdx": "markdown",
  ".txt": "text",
  ".text": "text",
  ".jsonl": "lines",
  ".ndjson": "lines",
};

export const fileEndings: readonly string[] = Object.keys(kinds);

/** Null for a name that says nothing of these. */
export const fileKind = (name: string): FileKind | null => kinds[extname(name).toLowerCase()] ?? null;

/** A file, and where what is in it belongs. */
export interface KnowledgeFile {
  readonly key: DocumentKey;
  readonly tags: readonly string[];
  readonly source: string;
  readonly kind: FileKind;
  readonly bytes: Uint8Array;
}

/** A document, or why what should have been one is none. */
export type Read =
  | { readonly kind: "document"; readonly document: KnowledgeDocument }
  | { readonly kind: "refused"; readonly path: string; readonly why: string };

/** What is in a file: one document, or with `lines` one a line. A bad one is no reason for the others to be missing. */
export function* documentsOf(file: KnowledgeFile): Generator<Read> {
  const { key, kind, bytes } = file;
  if (kind === "lines") {
    yield* lineDocuments(file);
    return;
  }
  yield attempt(key.path, () => {
    const text = plainText(bytes);
    const outline = kind === "markdown" ? markdownOutline(text) : textOutline(text);
    const title = outline.title ?? basename(key.path, extname(key.path));
    return documentFrom({ ...file, title, passages: passagesOf(title, outline.parts) });
  });
}

function* lineDocuments({ key, tags, source, bytes }: KnowledgeFile): Generator<Read> {
  if (bytes.length > maxLinesFileBytes) {
    yield refused(key.path, `is ${bytes.length} bytes long, at most ${maxLinesFileBytes}`);
    return;
  }
  let line = 0;
  for (const piece of linesOf(bytes)) {
    line += 1;
    if (piece.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)) continue;
    yield attempt(`${key.path}:${line}`, () => {
      const { id, title: given, text, tags: own = [] } = checkLine(parseJson(piece, lineSource));
      const path = `${key.path}#${id ?? line}`;
      const outline = markdownOutline(plainText(Buffer.from(text)));
      const title = given ?? outline.title ?? path;
      const passages = passagesOf(title, outline.parts).map((passage) => ({ ...passage, line }));
      return documentFrom({ key: { ...key, path }, tags: [...tags, ...own], source, title, passages });
    });
  }
}

function* linesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    yield bytes.subarray(start, end);
    start = end + 1;
  }
}

interface Line {
  readonly id?: string | number;
  readonly title?: string;
  readonly text: string;
  readonly tags?: readonly string[];
}

const lineSource = {
  subject: "line",
  code: "validation",
  caps: { maxBytes: maxDocumentBytes, maxDepth: 16, maxValues: 10_000 },
  exactNumbers: false,
} as const;

const lineSchema = {
  type: "string",
  minLength: 1,
  maxLength: 500,
  pattern: "^[^\\u0000]*$",
  says: "must hold no NUL character",
};

/** Other members are the file's own affair. */
const checkLine = validator<Line>(
  {
    type: "object",
    required: ["text"],
    properties: {
      id: { ...lineSchema, type: ["string", "integer"] },
      title: lineSchema,
      text: { type: "string" },
      tags: { type: "array", maxItems: 16, items: knowledgeNameSchema },
    },
  },
  { subject: "line", at: "", code: "validation" },
);

/** @throws ExecutorError validation, for what is no text. */
function plainText(bytes: Uint8Array): string {
  if (bytes.length > maxDocumentBytes) throw notText(`is ${bytes.length} bytes long, at most ${maxDocumentBytes}`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw notText("is no UTF-8");
  }
  if (text.includes("\0")) throw notText("holds a NUL character, which no text has");
  return text.replaceAll(/\r\n?/g, "\n");
}

const notText = (why: string): ExecutorError => new ExecutorError("validation", why);

function documentFrom(parts: Omit<KnowledgeDocument, "digest">): KnowledgeDocument {
  if (parts.passages.length === 0) throw notText("has no text");
  const title = parts.title.slice(0, 500).toWellFormed();
  const tags = [...new Set(parts.tags)].sort();
  const { source, passages } = parts;
  const digest = createHash("sha256")
    .update(
      JSON.stringify([
        cutVersion,
        title,
        tags,
        source,
        passages.map(({ heading, line, text }) => [heading, line, text]),
      ]),
    )
    .digest("hex");
  return { key: parts.key, title, tags, source, digest, passages };
}

function attempt(path: string, read: () => KnowledgeDocument): Read {
  try {
    return { kind: "document", document: read() };
  } catch (error) {
    if (error instanceof ExecutorError && error.code === "validation") return refused(path, error.message);
    throw error;
  }
}

const refused = (path: string, why: string): Read => ({ kind: "refused", path, why });
