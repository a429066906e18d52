import { expect, test } from "vitest";
import { nearest } from "../../../src/model/nearest.ts";

const known = ["timeout_seconds", "cpus", "memory_mb", "shell"];

test.each([
  ["timeout_second", "timeout_seconds"],
  ["TIMEOUT_SECONDS", "timeout_seconds"],
  ["memroy_mb", "memory_mb"],
  ["cpu", "cpus"],
  ["shell", "shell"],
  ["network", null],
  ["", null],
  ["x".repeat(100_000), null],
])("%s was probably meant as %s", (name, meant) => {
  expect(nearest(name, known)).toBe(meant);
});
