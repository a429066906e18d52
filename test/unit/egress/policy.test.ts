import { describe, expect, test } from "vitest";
import { hostOf } from "../../../src/egress/host.ts";
import { decide, mayDial, parseExceptions, parseRules, type RuleAuthor } from "../../../src/egress/policy.ts";
import { knownSuffix } from "../../../src/egress/public-suffix.ts";
import { ExecutorError } from "../../../src/model/failure.ts";

const at = "/network/allow";
const rulesOf = (texts: readonly string[], author: RuleAuthor = "task") => parseRules(texts, { author, at });
const refusalOf = (act: () => unknown): ExecutorError => {
  try {
    act();
  } catch (error) {
    if (error instanceof ExecutorError) return error;
  }
  throw new Error("it was taken");
};

describe("a rule", () => {
  test.each([
    ["api.example.com", "tls", "api.example.com", false, [443]],
    ["API.example.com.:443", "tls", "api.example.com", false, [443]],
    ["api.example.com:8443", "tls", "api.example.com", false, [8443]],
    ["api.example.com:443,8443,443", "tls", "api.example.com", false, [443, 8443]],
    ["api.example.com:80", "http", "api.example.com", false, [80]],
    ["api.example.com:80,443", "tls", "api.example.com", false, [80, 443]],
    ["http://api.example.com", "http", "api.example.com", false, [80]],
    ["http://api.example.com:8080", "http", "api.example.com", false, [8080]],
    ["https://api.example.com", "tls", "api.example.com", false, [443]],
    ["tls://api.example.com:80", "tls", "api.example.com", false, [80]],
    ["*.example.com:443", "tls", "example.com", true, [443]],
    ["*.example.co.uk", "tls", "example.co.uk", true, [443]],
    ["bücher.de", "tls", "xn--bcher-kva.de", false, [443]],
    ["localhost:9", "tls", "localhost", false, [9]],
  ] as const)("%s", (text, mode, name, isWildcard, ports) => {
    expect(rulesOf([text])).toEqual([{ text, mode, name, isWildcard, ports }]);
  });

  test("of an operator may be tcp, with a port", () => {
    expect(rulesOf(["tcp://db.example.com:5432"], "operator")).toMatchObject([{ mode: "tcp", ports: [5432] }]);
    expect(refusalOf(() => rulesOf(["tcp://db.example.com:5432"])).code).toBe("policy_denied");
    expect(refusalOf(() => rulesOf(["tcp://db.example.com"], "operator")).code).toBe("validation");
  });
});

test.each([
  ...[
    "*",
    "*:443",
    "*.com",
    "*.co.uk",
    "*.COM.",
    "*.github.io",
    "*.s3.eu-central-1.amazonaws.com",
    "*.nip.io",
    "*.localhost",
  ],
  ...["http://*", "", ":443", "127.0.0.1", "127.0.0.1:443", "[::1]:443", "*.10.0.0.1", "tcp://a.example.com:22"],
])("F13 %j is denied to anybody", (text) => {
  const refusal = refusalOf(() => rulesOf([text]));
  expect(refusal.code).toBe("policy_denied");
  expect(refusal.details).toMatchObject([{ path: "/network/allow/0" }]);
});

test.each([
  ...[
    "a.*.com",
    "*.*.com",
    "**.example.com",
    "*example.com",
    "example.*",
    "*.",
    "127.1",
    "0x7f000001",
    "１２７.0.0.1",
    "a..b",
  ],
  ...[
    "a.com:0",
    "a.com:65536",
    "a.com:+443",
    "a.com:",
    "a.com:443,",
    "a.com:*",
    "a.com:1-65535",
    "a.com:443:80",
    "::1",
  ],
  ...["ftp://a.com", "constructor://a.com", "a.com/", "http://a.com/x", "u@a.com", "a.com ", "*.xn--a.com", "a.com\n"],
  ...[`a.com:${Array.from({ length: 17 }, (_, n) => n + 1).join(",")}`, `${"a".repeat(400)}.com`],
])("F13 F4 %j is no rule", (text) => {
  expect(refusalOf(() => rulesOf([text])).code).toBe("validation");
});

test("each bad entry is told, by its place in the list", () => {
  const refusal = refusalOf(() => rulesOf(["a.com", "*", "b.com", "c.com:0"]));
  expect(refusal.code).toBe("validation");
  expect(refusal.details.map(({ path }) => path)).toEqual(["/network/allow/1", "/network/allow/3"]);
  expect(refusal.message).toBe(
    '/network/allow: "*" allows every host, or none; allowed: a host, or *.DOMAIN (and 1 more)',
  );
});

test("a list has an end", () => {
  const list = (length: number) => Array.from({ length }, (_, n) => `h${n}.example.com`);
  expect(rulesOf(list(256))).toHaveLength(256);
  expect(refusalOf(() => rulesOf(list(257))).code).toBe("validation");
});

test("two rules may not give one place two modes", () => {
  expect(refusalOf(() => rulesOf(["http://a.com:8080", "tls://a.com:8080"])).code).toBe("validation");
  expect(rulesOf(["http://a.com:8080", "a.com:443", "http://a.com:8080"])).toHaveLength(3);
});

describe("a host and port", () => {
  const rules = rulesOf([
    ...["api.example.com:443,8443", "*.wild.example.com", "http://plain.example.com:80", "xn--gthub-n2e.com"],
    ...["http://*.deep.wild.example.com:443", "tls://exact.deep.wild.example.com:443"],
  ]);
  const judge = (text: string, port = 443) => decide(rules, hostOf(text), port);

  test.each<[string, number, string]>([
    ["api.example.com", 443, "api.example.com:443,8443"],
    ["API.EXAMPLE.COM.", 8443, "api.example.com:443,8443"],
    ["a.wild.example.com", 443, "*.wild.example.com"],
    ["a.b.wild.example.com", 443, "*.wild.example.com"],
    ["plain.example.com", 80, "http://plain.example.com:80"],
    ["gіthub.com", 443, "xn--gthub-n2e.com"],
    ["a.deep.wild.example.com", 443, "http://*.deep.wild.example.com:443"],
    ["exact.deep.wild.example.com", 443, "tls://exact.deep.wild.example.com:443"],
  ])("%s:%d is allowed by %s", (text, port, rule) => {
    expect(judge(text, port)).toMatchObject({ kind: "allowed", rule: { text: rule } });
  });

  test.each<[string, number]>([
    ["api.example.com", 22],
    ["api.example.com", 25],
    ["api.example.com", 80],
    ["example.com", 443],
    ["wild.example.com", 443],
    ["evilwild.example.com", 443],
    ["api.example.com.evil.com", 443],
    ["evilapi.example.com", 443],
    ["github.com", 443],
    ["localhost", 443],
    ["metadata.google.internal", 80],
    ["127.0.0.1.nip.io", 443],
  ])("F3 F11 F14 %s:%d is denied, with what would allow it", (text, port) => {
    expect(judge(text, port)).toEqual({
      kind: "denied",
      why: `denied ${text}:${port}`,
      hint: `add it to network.allow: "${text}:${port}"`,
    });
  });

  test.each(["127.0.0.1", "[::1]", "8.8.8.8", "169.254.169.254", "10.0.0.1"])(
    "F14 %s is denied as an address",
    (text) => {
      expect(judge(text)).toMatchObject({
        kind: "denied",
        hint: "call a host by its name, and add that to network.allow",
      });
    },
  );

  test.each(["0", "127.1", "2130706433", "0x7f000001", "127.0.0.1%00", "１２７.0.0.1"])("F4 %s is denied", (text) => {
    expect(judge(text)).toMatchObject({ kind: "denied", hint: null });
  });

  test("is denied where nothing is allowed", () => {
    expect(decide([], hostOf("api.example.com"), 443)).toMatchObject({ kind: "denied" });
  });
});

describe("an exception", () => {
  const exceptions = parseExceptions(["DB.corp.example:5432=10.1.0.0/16", "wide.example:443=0.0.0.0/0"], "EXCEPTIONS");

  test.each<[string, number, string, boolean]>([
    ["db.corp.example", 5432, "10.1.2.3", true],
    ["db.corp.example", 5432, "10.2.0.1", false],
    ["db.corp.example", 443, "10.1.2.3", false],
    ["other.corp.example", 5432, "10.1.2.3", false],
    ["x.db.corp.example", 5432, "10.1.2.3", false],
    ["db.corp.example", 5432, "8.8.8.8", true],
    ["db.corp.example", 5432, "::ffff:10.1.2.3", false],
    ["wide.example", 443, "192.168.0.1", true],
    ["wide.example", 443, "169.254.169.254", false],
    ["wide.example", 443, "::ffff:169.254.169.254", false],
    ["wide.example", 443, "100.100.100.200", false],
    ["wide.example", 443, "localhost", false],
  ])("F7 for %s:%d leads to %s: %s", (name, port, address, may) => {
    expect(mayDial(name, port, address, exceptions)).toBe(may);
  });

  test.each([
    ...[
      "a.example:443",
      "a.example=10.0.0.0/8",
      "a.example:443=10.0.0.0/33",
      "*.a.example:443=10.0.0.0/8",
      "a.example:443=x",
    ],
    ...[
      "a.example:443,80=10.0.0.0/8",
      "10.0.0.1:443=10.0.0.0/8",
      "a.example:0=10.0.0.0/8",
      "a.example:443=10.0.0.0/8=1",
      "",
    ],
    ...[
      "a.example:80=169.254.169.254",
      "a.example:80=169.254.0.0/16",
      "a.example:80=fd00:ec2::/32",
      "a.example:80=fe80::/10",
    ],
    ...[
      "a.example:80=100.100.100.200/32",
      "a.example:80=168.63.129.16",
      "a.example:80=::ffff:10.0.0.0/104",
      "a.example:80=224.0.0.0/4",
    ],
  ])("F7 %j is refused when it is read", (text) => {
    expect(refusalOf(() => parseExceptions([text], "EXCEPTIONS")).details).toMatchObject([{ path: "EXCEPTIONS/0" }]);
  });
});

test.each<[string, boolean]>([
  ["com", true],
  ["co.uk", true],
  ["com.au", true],
  ["github.io", true],
  ["lambda-url.eu-west-1.on.aws", false],
  ["eu-west-1.on.aws", true],
  ["example.com", false],
  ["example.co.uk", false],
  ["bbc.uk", false],
])("%s is a public suffix: %s", (name, is) => {
  expect(knownSuffix(name)).toBe(is);
});
