import { expect, test } from "vitest";
import { traceContext, traceOf, withTrace } from "../../../src/model/trace-context.ts";
import { aTask } from "../../support/samples.ts";

const [trace, span] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
const good = `00-${trace}-${span}-01`;

test.each([good, `00-${trace}-${span}-00`, `01-${trace}-${span}-01`, `01-${trace}-${span}-01-more`])(
  "%s is one",
  (text) => {
    expect(traceContext(text)).toEqual({ traceparent: text, traceId: trace });
  },
);

test.each([
  "",
  "garbage",
  `${good} `,
  `${good}-more`,
  `ff-${trace}-${span}-01`,
  good.toUpperCase(),
  `00-${"0".repeat(32)}-${span}-01`,
  `00-${trace}-${"0".repeat(16)}-01`,
  `01-${trace}-${span}-01-${"x".repeat(401)}`,
  `01-${trace}-${span}-01-a\nb`,
  null,
  1,
])("%j is none", (text) => {
  expect(traceContext(text)).toBeNull();
});

test("a task keeps the trace its request names; otherwise it has its message's", () => {
  const other = `00-${"a".repeat(32)}-${span}-01`;
  expect(traceOf(withTrace(aTask(), good).metadata)?.traceId).toBe(trace);
  expect(traceOf(withTrace(aTask({ metadata: { traceparent: other } }), good).metadata)?.traceId).toBe("a".repeat(32));
  expect(withTrace(aTask(), "garbage")).toEqual(aTask());
});
