import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { formsVersion, secretForms } from "../../../src/secrets/forms.ts";

/** Values that between them meet every rule of the forms. */
const values: readonly (readonly [string, Buffer])[] = [
  ["letters and digits", Buffer.from("ghp_16C7e42F292c6912E7710c838347Ae178B4a")],
  [
    "characters that programs escape",
    Buffer.from("p'ä\"s$s/w\\o<r>d&+ !`^|~%;,?=@#*()[]{}\u2028😀\t\u0007\u001b\u007f"),
  ],
  ["several lines", Buffer.from("-----BEGIN KEY-----\nMIIBVgIBADANBgkq/+\r\n  hkiG9w0BAQEF AA  \n-----END KEY-----\n")],
  ["bytes that are no text", Buffer.from([0x00, 0xff, 0xfe, 0x0a, 0x80, 0xfb, 0xef, 0xbe, 0x3e, 0x3f])],
  ["longer than a line of base64", Buffer.from(Array.from({ length: 150 }, (_, at) => (at * 37 + 11) % 256))],
  ["longer than is escaped as a whole", Buffer.from("long value/".repeat(150))],
  ["the shortest", Buffer.from("abc123")],
];

const golden = join(import.meta.dirname, "../../support/golden/secret-forms.json");

/** The places in the list are told to the next process by number: the order is part of it. */
const digestOf = (forms: readonly Buffer[]): string => {
  const hash = createHash("sha256");
  for (const form of forms) hash.update(`${form.length}:`).update(form);
  return hash.digest("hex");
};

test("the forms are those of their version: whoever changes one counts the version up, and writes this anew with TOOLX_GOLDEN=write", async () => {
  const forms = values.map(([name, value]) => [name, secretForms(value)] as const);
  const found = {
    version: formsVersion,
    forms: Object.fromEntries(forms.map(([name, each]) => [name, { count: each.length, sha256: digestOf(each) }])),
  };
  const known = await readFile(golden, "utf8").then(JSON.parse, () => null);
  if (process.env.TOOLX_GOLDEN === "write") {
    // One version has one list for ever: a successor of another release would go on in the middle of another form.
    if (known !== null && JSON.stringify(known.forms) !== JSON.stringify(found.forms))
      expect(found.version, "formsVersion").toBeGreaterThan(known.version);
    await writeFile(golden, `${JSON.stringify(found, null, 2)}\n`);
    return;
  }
  expect(found).toEqual(known);
});
