/** The doors that a request comes in by. */
export type Surface = "kafka" | "http" | "cli";

/** Where a row is tried, or why it cannot be. */
type Tried = { readonly in: string } | { readonly not: string };

const kafka: Tried = { in: "test/services/kafka-hostile.test.ts" };
const http: Tried = { in: "test/e2e/hostile-http.test.ts" };
const cli: Tried = { in: "test/e2e/hostile-cli.test.ts" };
const queue: Tried = { in: "test/e2e/serve-queue.test.ts" };
const not = (why: string): Tried => ({ not: why });

const onlyHttp = not("it is about HTTP");

/** Every row of the family of payloads (G), at every door. */
export const payloadFamily: Readonly<Record<string, Readonly<Record<Surface, Tried>>>> = {
  G1: { kafka, http, cli },
  G2: { kafka, http: not("only Kafka has tombstones; an empty body is G1"), cli: not("only Kafka has tombstones") },
  G3: { kafka, http, cli },
  G4: { kafka, http, cli },
  G6: { kafka, http, cli },
  G7: { kafka, http, cli },
  G8: { kafka, http, cli },
  G9: { kafka: { in: "test/services/kafka-service.test.ts" }, http, cli },
  G10: { kafka, http, cli },
  G12: { kafka, http, cli },
  G13: { kafka, http, cli: not("a command line has no flag for a time: what it runs, it runs now") },
  G14: { kafka, http: not("only Kafka has batches; a packed body is G29"), cli: not("only Kafka has batches") },
  G15: {
    kafka: { in: "test/unit/loops/intake.test.ts" },
    http: queue,
    cli: not("one process, one task: nothing is behind it; what kills a server is tried over HTTP"),
  },
  G16: { kafka, http, cli: not("a command line has no headers") },
  G17: { kafka, http, cli },
  G18: { kafka, http, cli },
  G20: { kafka, http, cli },
  G22: { kafka, http, cli },
  G23: { kafka, http, cli },
  G24: { kafka: not("a message has no path"), http, cli },
  G25: { kafka: { in: "test/services/serve-on-kafka.test.ts" }, http: queue, cli: queue },
  G26: { kafka: not("who may write the topic may name a tenant: docs/security.md"), http, cli },
  G28: { kafka: onlyHttp, http, cli },
  G29: { kafka: not("a packed batch is G14"), http, cli },
  G31: { kafka: onlyHttp, http, cli: not("a command line listens nowhere") },
  G32: { kafka: onlyHttp, http, cli },
  G33: { kafka: not("nobody waits at the other end; a call that comes again is G9"), http, cli },
  G34: { kafka: not("it is about the command line"), http: not("it is about the command line"), cli },
};

/** What stands in the count of one door's suite, beside the rows of `file` itself. */
export function payloadRows(
  surface: Surface,
  file: string,
): { readonly elsewhere: Readonly<Record<string, string>>; readonly notApplicable: Readonly<Record<string, string>> } {
  const rows = Object.entries(payloadFamily).map(([row, at]) => [row, at[surface]] as const);
  return {
    elsewhere: Object.fromEntries(rows.flatMap(([row, at]) => ("in" in at && at.in !== file ? [[row, at.in]] : []))),
    notApplicable: Object.fromEntries(rows.flatMap(([row, at]) => ("not" in at ? [[row, at.not]] : []))),
  };
}
