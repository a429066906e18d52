import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { documentsOf } from "../../src/knowledge/document.ts";
import type { KnowledgeDocument } from "../../src/model/knowledge.ts";
import { checkout } from "./cli.ts";

/** A document as an import makes it. */
export function aDocument(
  path: string,
  text: string,
  differences: {
    readonly tenantId?: string;
    readonly collection?: string;
    readonly tags?: readonly string[];
    readonly source?: string;
  } = {},
): KnowledgeDocument {
  const { tenantId = "acme", collection = "default", tags = [], source = "/docs" } = differences;
  const kind = path.endsWith(".txt") ? "text" : "markdown";
  const file = { key: { tenantId, collection, path }, tags, source, kind, bytes: Buffer.from(text) } as const;
  const [read] = documentsOf(file);
  if (read?.kind !== "document") throw new Error(`no document: ${JSON.stringify(read)}`);
  return read.document;
}

/** Documentation as people have it: that of a package this program stands on. */
export const realDocs = join(checkout, "node_modules/fastify/docs");

export function realDocuments(tenantId: string): readonly KnowledgeDocument[] {
  return readdirSync(realDocs, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .sort()
    .map((name) =>
      aDocument(name.replaceAll("\\", posix.sep), readFileSync(join(realDocs, name), "utf8"), {
        tenantId,
        collection: "fastify",
      }),
    );
}

/** What somebody who uses that package may ask, and a document that answers. */
export const realQueries: readonly (readonly [query: string, path: string])[] = [
  ["prototype poisoning", "Guides/Prototype-Poisoning.md"],
  ["graceful shutdown close hook", "Reference/Hooks.md"],
  ['"content type parser"', "Reference/ContentTypeParser.md"],
  ["serverless lambda", "Guides/Serverless.md"],
  ["setErrorHandler", "Reference/Server.md"],
  ["decorateRequest", "Reference/Decorators.md"],
  ["ajv coercion schema", "Reference/Validation-and-Serialization.md"],
  ["migrat* v5", "Guides/Migration-Guide-V5.md"],
  ["http2 secure https", "Reference/HTTP2.md"],
  ["pino logger redact", "Reference/Logging.md"],
  ["reply.hijack", "Reference/Reply.md"],
  ["long term support node versions", "Reference/LTS.md"],
  ["type provider typebox", "Reference/Type-Providers.md"],
  ["detect client aborts", "Guides/Detecting-When-Clients-Abort.md"],
  ["version constraint route -lambda", "Reference/Routes.md"],
  ["trustProxy", "Reference/Server.md"],
  ["postgres mysql redis database", "Guides/Database.md"],
  ["FST_ERR_*", "Reference/Errors.md"],
  ["how do I write a plugin that is encapsulated", "Guides/Write-Plugin.md"],
  ["inject test requests without a server", "Guides/Testing.md"],
];
