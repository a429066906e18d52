import { expect, test } from "vitest";
import { positional } from "../../../../src/adapters/postgres/positional.ts";

test("each name becomes one number, however often it stands there", () => {
  expect(positional("select :b, :a, :b", { a: 1, b: "x", c: null })).toEqual({
    text: "select $1, $2, $1",
    values: ["x", 1],
  });
});

test("a cast is no name", () => {
  expect(positional("select :a::text[], now()::date", { a: null })).toEqual({
    text: "select $1::text[], now()::date",
    values: [null],
  });
});

test("a name without a value is our bug", () => {
  expect(() => positional("select :a", {})).toThrow(":a");
});
