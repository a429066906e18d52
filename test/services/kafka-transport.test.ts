import { describe } from "vitest";
import { transportConformance } from "../conformance/transport.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { kafkaEnds } from "../support/kafka-ends.ts";
import { startKafka } from "../support/services.ts";

describe.each(["kafka", "kafka-3.9"] as const)("on %s", (version) => {
  const broker = forThisFile(() => startKafka(version));
  transportConformance(version, () => kafkaEnds(broker().broker));
});
