import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { payloadFamily } from "../support/payload-rows.ts";

const checkout = resolve(import.meta.dirname, "../..");

/** A test file with what it takes from `test/support`: tables stand there. */
function textOf(file: string): string {
  const text = readFileSync(join(checkout, file), "utf8");
  const taken = [...text.matchAll(/ from "((?:\.\.\/)+support\/[a-z-]+\.ts)"/g)].map(([, path = ""]) =>
    readFileSync(resolve(checkout, dirname(file), path), "utf8"),
  );
  return [text, ...taken].join("\n");
}

describe("each row of hostile payloads is tried at each door, or it is said why it cannot be", () => {
  const places = Object.entries(payloadFamily).flatMap(([row, doors]) =>
    Object.entries(doors).map(([door, tried]) => ({ row, door, tried })),
  );
  test.each(places.flatMap((place) => ("in" in place.tried ? [{ ...place, file: place.tried.in }] : [])))(
    "$row at $door in $file",
    ({ row, file }) => {
      // A title, or the first of a table's cells.
      expect(textOf(file)).toMatch(new RegExp(`["'\`]${row}["'\` ]`));
    },
  );

  test("the others are named and counted", () => {
    const reasons = places.flatMap(({ tried }) => ("not" in tried ? [tried.not] : []));
    expect(reasons).toHaveLength(17);
    for (const reason of reasons) expect(reason).toMatch(/^.{10,}$/);
  });
});
