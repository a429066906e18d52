import { expect, test } from "vitest";
import { positionalQueries } from "../../../../src/adapters/postgres/positional.ts";

test("each name becomes one number, however often it stands there", () => {
  const positional = positionalQueries();
  expect(positional("select :b, :a, :b", { a: 1, b: "x", c: null })).toMatchObject({
    text: "select $1, $2, $1",
    values: ["x", 1],
  });
});

test("a cast is no name", () => {
  const positional = positionalQueries();
  expect(positional("select :a::text[], now()::date", { a: null })).toMatchObject({
    text: "select $1::text[], now()::date",
    values: [null],
  });
});

test("the same text has the same name, another text another", () => {
  const positional = positionalQueries();
  const names = ["select 1", "select :a", "select 1"].map((sql) => positional(sql, { a: 1 }).name);
  expect(names[2]).toBe(names[0]);
  expect(names[1]).not.toBe(names[0]);
});

test("a name without a value is our bug", () => {
  expect(() => positionalQueries()("select :a", {})).toThrow(":a");
});
