import { egressPart } from "./egress.ts";
import { kafkaPart } from "./kafka.ts";
import { memoryPart } from "./memory.ts";
import type { Part } from "./part.ts";
import { ratePart } from "./rate.ts";
import { redactPart } from "./redact.ts";
import { startPart } from "./start.ts";

/** Every part, in the order in which the plain command runs them. */
export const parts: readonly Part[] = [startPart, ratePart, kafkaPart, memoryPart, redactPart, egressPart];
