import { knowledgeNames, maxQueryBytes } from "../model/knowledge.ts";
import type { JsonObject } from "../model/task.ts";
import { validator } from "./validator.ts";

/** What a search asks for; whose documents is not for it to say. */
export interface KnowledgeRequest {
  readonly query: string;
  readonly collection?: string;
  readonly tags?: readonly string[];
  readonly limit?: number;
}

/** What a search answers. */
export interface KnowledgeAnswer {
  readonly query: string;
  /** Of the query's words each answer has all, or, where no passage has, any. */
  readonly matched: "all" | "any" | "none";
  /** There may be further answers. */
  readonly more: boolean;
  /** The best first. */
  readonly answers: readonly {
    readonly path: string;
    readonly title: string;
    readonly heading: string | null;
    readonly line: number;
    readonly collection: string;
    readonly tags: readonly string[];
    readonly score: number;
    readonly snippet: string;
  }[];
}

export const defaultAnswers = 10;

/** Of a collection or a tag. */
export const knowledgeNameSchema: JsonObject = {
  type: "string",
  pattern: knowledgeNames.pattern,
  says: `must be ${knowledgeNames.rule}`,
};

export const knowledgeRequestSchema: JsonObject = {
  type: "object",
  additionalProperties: false,
  required: ["query"],
  properties: {
    query: {
      type: "string",
      minLength: 1,
      maxBytes: maxQueryBytes,
      description: 'Words that must all be there, "a phrase", the beginning* of a word, -without.',
    },
    collection: { ...knowledgeNameSchema, description: "Only this one; all unless given." },
    tags: {
      type: "array",
      maxItems: 16,
      items: knowledgeNameSchema,
      description: "Only documents with every one of them.",
    },
    limit: { type: "integer", minimum: 1, maximum: 50, description: "At most so many answers; 10 unless given." },
  },
  examples: [{ query: 'rate limits "per tenant" -beta', collection: "handbook", limit: 5 }],
};

export const knowledgeAnswerSchema: JsonObject = {
  type: "object",
  required: ["query", "matched", "more", "answers"],
  properties: {
    query: { type: "string" },
    matched: { enum: ["all", "any", "none"] },
    more: { type: "boolean" },
    answers: {
      type: "array",
      items: {
        type: "object",
        required: ["path", "title", "heading", "line", "collection", "tags", "score", "snippet"],
        properties: {
          path: { type: "string" },
          title: { type: "string" },
          heading: { type: ["string", "null"] },
          line: { type: "integer" },
          collection: { type: "string" },
          tags: { type: "array", items: { type: "string" } },
          score: { type: "number" },
          snippet: { type: "string" },
        },
      },
    },
  },
};

/** @throws ExecutorError validation, with a detail for each thing wrong. */
export const checkKnowledgeRequest = validator<KnowledgeRequest>(knowledgeRequestSchema, {
  subject: "request",
  at: "",
  code: "validation",
});
