import { expect, test } from "vitest";
import { type Aftermath, aftermath, postgresFailure } from "../../../../src/adapters/postgres/postgres-failure.ts";
import { ExecutorError } from "../../../../src/model/failure.ts";

const ofServer = (code: string) => Object.assign(new Error("words of the server"), { code, severity: "ERROR" });
const ofSocket = (code: string, more: object = {}) => Object.assign(new Error(`x ${code}`), { code, ...more });

test.each<[string, Error, string, Aftermath]>([
  ["28P01", ofServer("28P01"), "the server refuses this user", "give up"],
  ["3D000", ofServer("3D000"), "there is no such database", "give up"],
  ["42P01", ofServer("42P01"), "its tables are not there", "give up"],
  ["25006", ofServer("25006"), "the server takes no writes", "retry"],
  ["40001", ofServer("40001"), "other transactions kept getting in the way", "retry"],
  ["40P01", ofServer("40P01"), "other transactions kept getting in the way", "retry"],
  ["53300", ofServer("53300"), "the server has no connection left", "retry"],
  ["53100", ofServer("53100"), "the server's disk is full", "give up"],
  ["57014", ofServer("57014"), "the server took too long", "give up"],
  ["57P01", ofServer("57P01"), "the server is shutting down or starting", "retry"],
  ["57P03", ofServer("57P03"), "the server is shutting down or starting", "retry"],
  ["08006", ofServer("08006"), "the connection broke", "retry"],
  ["ECONNREFUSED", ofSocket("ECONNREFUSED"), "it cannot be reached (ECONNREFUSED)", "retry"],
  [
    "both of two addresses",
    new AggregateError([ofSocket("ECONNREFUSED"), ofSocket("EHOSTUNREACH")]),
    "it cannot be reached",
    "retry",
  ],
  ["a connect that timed out", ofSocket("ETIMEDOUT", { syscall: "connect" }), "it cannot be reached", "retry"],
  ["ECONNRESET", ofSocket("ECONNRESET"), "the connection broke (ECONNRESET)", "unknown"],
  ["no connection in time", new Error("timeout expired"), "it cannot be reached", "retry"],
  ["no free one", new Error("timeout exceeded when trying to connect"), "it cannot be reached", "retry"],
  ["a closed socket", new Error("Connection terminated unexpectedly"), "the connection broke", "unknown"],
  ["a certificate", ofSocket("DEPTH_ZERO_SELF_SIGNED_CERT"), "TLS: ", "give up"],
])("%s is named, and so is what may follow", (_name, cause, why, next) => {
  expect(postgresFailure("db:5432/tools", cause)).toMatchObject({
    code: "internal",
    message: expect.stringContaining(`task store db:5432/tools: ${why}`),
    hint: expect.any(String),
    cause,
  });
  expect(aftermath(cause)).toBe(next);
});

test.each<[string, Error, boolean]>([
  ["28P01", ofServer("28P01"), true],
  ["28000", ofServer("28000"), true],
  ["3D000", ofServer("3D000"), true],
  ["42501", ofServer("42501"), true],
  ["42P01", ofServer("42P01"), true],
  ["a certificate", ofSocket("DEPTH_ZERO_SELF_SIGNED_CERT"), true],
  ["25006", ofServer("25006"), false],
  ["53300", ofServer("53300"), false],
  ["57P01", ofServer("57P01"), false],
  ["ECONNREFUSED", ofSocket("ECONNREFUSED"), false],
  ["ECONNRESET", ofSocket("ECONNRESET"), false],
])("whether somebody has to mend something (%s)", (_name, cause, isBarred) => {
  expect(postgresFailure("db:5432/tools", cause)).toMatchObject({ away: "store", isAway: true, isBarred });
});

test.each([new TypeError("x"), ofServer("42601"), new ExecutorError("cancelled", "x")])(
  "what is neither the server's nor the way's is our bug and stays as it is",
  (bug) => {
    expect(postgresFailure("db:5432/tools", bug)).toBe(bug);
    expect(aftermath(bug)).toBe("give up");
  },
);
