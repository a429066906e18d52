import { expect, test } from "vitest";
import { nameFromReference, referenceFault } from "../../../src/model/image-name.ts";

test.each<[string, string | null]>([
  ["ci", "ci"],
  ["ci:3.12", "ci"],
  ["ghcr.example/acme/ci-python:3.12", "ci-python"],
  ["localhost:5000/ci", "ci"],
  ["acme/ci@sha256:0f0f", "ci"],
  ["acme/Upper", null],
  ["acme/3d", null],
  ["acme/with.dot", null],
  ["sha256:0123456789ab", null],
  ["abcdef012345", null],
  [`a${"b".repeat(63)}`, null],
])("an image that is added as %s is called %s unless it is given a name", (reference, name) => {
  expect(nameFromReference(reference)).toBe(name);
});

test.each(["ci", "ci:3.12", "localhost:5000/acme/ci@sha256:0f", "sha256:0123456789ab"])(
  "%s may name an image",
  (text) => {
    expect(referenceFault(text)).toBeNull();
  },
);

test.each([
  "",
  "../x",
  "a/../../containers/json",
  "a//b",
  "a/",
  "--force",
  "a b",
  "a?b=c",
  "a#b",
  "a%2f",
  "x".repeat(256),
])("%j may not", (text) => {
  expect(referenceFault(text)).toContain("is no image reference; allowed: ");
});
