import { artifactsPart } from "./artifacts.ts";
import { churnPart } from "./churn.ts";
import { egressPart } from "./egress.ts";
import { kafkaPart } from "./kafka.ts";
import { logsPart } from "./logs.ts";
import { memoryPart } from "./memory.ts";
import type { Part } from "./part.ts";
import { ratePart } from "./rate.ts";
import { redactPart } from "./redact.ts";
import { scalePart } from "./scale.ts";
import { startPart } from "./start.ts";
import { toolsPart } from "./tools.ts";
import { warmPart } from "./warm.ts";

/** Every part, in the order in which the plain command runs them. */
export const parts: readonly Part[] = [
  ...[startPart, warmPart, toolsPart, churnPart, ratePart, kafkaPart],
  ...[scalePart, logsPart, artifactsPart, memoryPart, redactPart, egressPart],
];
