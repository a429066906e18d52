import { stringify } from "node:querystring";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { minSecretBytes } from "../../../src/model/secret.ts";
import { secretForms } from "../../../src/secrets/forms.ts";

const odd = "a'b\"c\\d/e é&<$x!~*(;+";
const forms = (value: string | Uint8Array): readonly string[] =>
  secretForms(Buffer.from(value)).map((form) => form.toString("latin1"));
const latin1 = (text: string): string => Buffer.from(text).toString("latin1");

describe("a value is looked for as programs write it", () => {
  // What the programs that are named here printed, without the quotes around it.
  test.each([
    ["as it is", odd],
    ["JSON.stringify", JSON.stringify(odd).slice(1, -1)],
    ["JSON within JSON", JSON.stringify(JSON.stringify(odd)).slice(3, -3)],
    ["JSON with slashes escaped", JSON.stringify(odd).slice(1, -1).replaceAll("/", "\\/")],
    ["json.dumps of Python", String.raw`a'b\"c\\d/e \u00e9&<$x!~*(;+`],
    ["encoding/json of Go", String.raw`a'b\"c\\d/e é\u0026\u003c$x!~*(;+`],
    ["repr of Python", String.raw`a\'b"c\\d/e é&<$x!~*(;+`],
    ["repr of Python, of bytes", String.raw`a\'b"c\\d/e \xc3\xa9&<$x!~*(;+`],
    ["shlex.quote", `a'"'"'b"c\\d/e é&<$x!~*(;+`],
    ["@Q and -x of bash", `a'\\''b"c\\d/e é&<$x!~*(;+`],
    ["%q of bash", String.raw`a\'b\"c\\d/e\ é\&\<\$x\!\~\*\(\;+`],
    ["%q of bash with LC_ALL=C", String.raw`a\'b"c\\d/e \303\251&<$x!~*(;+`],
    ["double quotes of a shell", "a'b\\\"c\\\\d/e é&<\\$x!~*(;+"],
    ["double quotes of a shell, for one that is asked", "a'b\\\"c\\\\d/e é&<\\$x\\!~*(;+"],
    ["encodeURIComponent", encodeURIComponent(odd)],
    ["encodeURI", encodeURI(odd)],
    ["URLSearchParams", new URLSearchParams({ v: odd }).toString().slice(2)],
    ["querystring", stringify({ v: odd }).slice(2)],
    ["urllib.parse.quote", "a%27b%22c%5Cd/e%20%C3%A9%26%3C%24x%21~%2A%28%3B%2B"],
    ["urllib.parse.quote with safe=''", "a%27b%22c%5Cd%2Fe%20%C3%A9%26%3C%24x%21~%2A%28%3B%2B"],
    ["urllib.parse.quote_plus", "a%27b%22c%5Cd%2Fe+%C3%A9%26%3C%24x%21~%2A%28%3B%2B"],
    ["lower-case escapes", "a%27b%22c%5cd%2fe%20%c3%a9%26%3c%24x%21~%2a%28%3b%2b"],
    ["html.escape", "a&#x27;b&quot;c\\d/e é&amp;&lt;$x!~*(;+"],
    ["@html of jq", "a&apos;b&quot;c\\d/e é&amp;&lt;$x!~*(;+"],
    ["hex", Buffer.from(odd).toString("hex")],
    ["HEX", Buffer.from(odd).toString("hex").toUpperCase()],
  ])("%s", (_name, written) => {
    expect(forms(odd)).toContain(latin1(written));
  });

  test("a backtick within double quotes of a shell", () => {
    expect(forms("echo `id`")).toContain("echo \\`id\\`");
  });

  test("UTF-16", () => {
    expect(forms(odd)).toContain(Buffer.from(odd, "utf16le").toString("latin1"));
  });

  test("as a literal of JavaScript and of Python, with the quotes that each would take", () => {
    const text = "it's\\here\n\u0007\u001b";
    expect(forms(text)).toContain(inspect(text).slice(1, -1));
    expect(forms(text)).toContain(String.raw`it's\\here\n\x07\x1b`);
    expect(forms(text)).toContain(String.raw`it\'s\\here\n\a\E`);
  });

  test("every character as an escape of JSON, in both cases, and every byte as one of a URL", () => {
    expect(forms("s/é-xyz")).toContain(String.raw`\u0073\u002f\u00e9\u002d\u0078\u0079\u007a`);
    expect(forms("s/é-xyz")).toContain(String.raw`\u0073\u002F\u00E9\u002D\u0078\u0079\u007A`);
    expect(forms("s/-xyz")).toContain("%73%2f%2d%78%79%7a");
    expect(forms("s/-xyz")).toContain("%73%2F%2D%78%79%7A");
  });
});

describe("base64", () => {
  const values = [Buffer.from("secret"), Buffer.from([0xfb, 0xff, 0xbe, 0xfe, 0x3e, 0x3f, 0xff]), Buffer.from(odd)];

  test.each(values)("of %s is found whatever stands around the value", (value) => {
    const known = forms(value);
    for (const encoding of ["base64", "base64url"] as const)
      for (const before of ["", "u", "us", "use", "user:", "x=\u00ff"])
        for (const after of ["", "\n", "@h", "\u00ff\u00ff\u00ff"]) {
          const text = Buffer.from(before + value.toString("latin1") + after, "latin1").toString(encoding);
          const longest = known.filter((form) => text.includes(form)).sort((a, b) => b.length - a.length)[0] ?? "";
          // All but the one character at each end that others share.
          expect(longest.length, text).toBeGreaterThan((value.length * 8) / 6 - 2);
        }
  });

  test("in lines, as base64 and OpenSSL write a long one", () => {
    const value = Buffer.from(Array.from({ length: 150 }, (_, index) => (index * 37 + 11) % 256));
    for (const columns of [64, 76]) {
      const lines = value.toString("base64").match(new RegExp(`.{1,${columns}}`, "g")) ?? [];
      expect(forms(value)).toContain(lines.join("\n"));
      for (const line of lines.slice(0, -1)) expect(forms(value)).toContain(line);
    }
  });
});

describe("a value of several lines", () => {
  const key =
    '-----BEGIN KEY-----\nMIIBVgIBADANBgkq\n  {\n  "a": 1,\n  hkiG9w0BAQEF AA  \n------------------\n-----END KEY-----\n';

  test("is looked for as a whole with both ends of line, and without the last", () => {
    expect(forms(key)).toContain(key.trimEnd());
    expect(forms(key)).toContain(key.trimEnd().replaceAll("\n", "\r\n"));
    expect(forms(key.replaceAll("\n", "\r\n"))).toContain(key.trimEnd());
  });

  test("is looked for line by line, but for lines that say nothing", () => {
    expect(forms(key)).toEqual(expect.arrayContaining(["MIIBVgIBADANBgkq", "hkiG9w0BAQEF AA", "-----END KEY-----"]));
    expect(forms(key)).not.toContain("{");
    expect(forms(key)).not.toContain('"a": 1,');
    expect(forms(key)).not.toContain("------------------");
  });
});

test("bytes that are no text are looked for as they are and encoded", () => {
  const value = Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x0a, 0x41, 0xc3]);
  expect(forms(value)).toEqual(
    expect.arrayContaining([value.toString("latin1"), "fffe00800a41c3", "%ff%fe%00%80%0aA%c3", "//4AgApBw"]),
  );
});

test("no form is shorter than the shortest secret, and none comes twice", () => {
  for (const value of ["abcdef", "ああ", odd, "a\nb\nc\nd"]) {
    const known = forms(value);
    expect(Math.min(...known.map((form) => form.length))).toBeGreaterThanOrEqual(minSecretBytes);
    expect(new Set(known).size).toBe(known.length);
  }
});
