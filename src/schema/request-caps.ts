import type { JsonCaps } from "./parse-json.ts";

/** Room for a call and a few small files; large inputs are no part of a message. */
export const defaultMaxRequestBytes = 8 * 1024 * 1024;

/** What a request may cost, whatever is in it. */
export const requestCaps = (maxBytes: number): JsonCaps => ({ maxBytes, maxDepth: 64, maxValues: 100_000 });
