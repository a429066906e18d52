import { describe, expect, test } from "vitest";
import { hostOf, placeOf, portOf } from "../../../src/egress/host.ts";

describe("a name", () => {
  test.each([
    ["api.example.com", "api.example.com"],
    ["API.Example.COM", "api.example.com"],
    ["api.example.com.", "api.example.com"],
    ["localhost", "localhost"],
    ["LOCALHOST.", "localhost"],
    ["127.0.0.1.nip.io", "127.0.0.1.nip.io"],
    ["a_b.example.com", "a_b.example.com"],
    ["1password.com", "1password.com"],
    ["0x7f.example", "0x7f.example"],
    ["xn--bcher-kva.de", "xn--bcher-kva.de"],
    ["bücher.de", "xn--bcher-kva.de"],
    ["BÜCHER.DE.", "xn--bcher-kva.de"],
    // Decomposed, as some file systems write it.
    ["bu\u0308cher.de", "xn--bcher-kva.de"],
    // Cyrillic і: another name than it looks like, and told apart.
    ["gіthub.com", "xn--gthub-n2e.com"],
    ["faß.de", "xn--fa-hia.de"],
    [`${"a".repeat(63)}.com`, `${"a".repeat(63)}.com`],
  ])("F11 %s is %s", (text, name) => {
    expect(hostOf(text)).toEqual({ kind: "name", name });
  });
});

describe("an address is one", () => {
  test.each([
    ["127.0.0.1", "127.0.0.1"],
    ["127.0.0.1.", "127.0.0.1"],
    ["0.0.0.0", "0.0.0.0"],
    ["[::1]", "0:0:0:0:0:0:0:1"],
    ["::1", "0:0:0:0:0:0:0:1"],
    ["[::]", "0:0:0:0:0:0:0:0"],
    ["[::ffff:127.0.0.1]", "0:0:0:0:0:ffff:7f00:1"],
    ["[::ffff:7f00:1]", "0:0:0:0:0:ffff:7f00:1"],
    ["[0:0:0:0:0:ffff:a9fe:a9fe]", "0:0:0:0:0:ffff:a9fe:a9fe"],
    ["[fc00::1]", "fc00:0:0:0:0:0:0:1"],
  ])("F4 F5 %s", (text, address) => {
    expect(hostOf(text)).toEqual({ kind: "address", address });
  });
});

test.each([
  // Numbers that inet_aton, a browser or a library takes for an address.
  ...["0", "127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F.1", "0177.0.0.1", "017700000001", "0x", "1.2.3.0x"],
  ...["127.0.0.01", "127.0.0.1.1", "256.0.0.1", "1.2.3.4.5", "example.1", "example.0x1", "99999999999", "127.1."],
  // Percent signs: escapes and zones.
  ...["127.0.0.1%00", "%31%32%37.0.0.1", "[fe80::1%25eth0]", "[fe80::1%eth0]", "fe80::1%eth0", "example%2ecom"],
  // What other characters become, and what nobody sees.
  ...[
    "１２７.0.0.1",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "１２７．０．０．１",
    "ｅxample.com",
    "ⓔxample.com",
    "example。com",
    "example．com",
  ],
  ...[
    "exam\u00adple.com",
    "exam\u200bple.com",
    "\u202eexample.com",
    "example\u2024com",
    "\u212aelvin.com",
    "١٢٧.0.0.1",
  ],
  // Labels that are none.
  ...["", ".", "..", ".example.com", "example..com", "example.com..", "-a.com", "a-.com", "*", "*.example.com"],
  ...["xn--", "xn--a.com", "xn--github-.com", "xn--999999b.com", "xn--example-.com", `${"a".repeat(64)}.com`],
  `${"a.".repeat(126)}com`,
  // What belongs to a URL, or to nothing.
  ...[
    "a b.com",
    "a\tb.com",
    "example.com\0",
    "a.com\r\nX: y",
    "user@example.com",
    "example.com/",
    "example.com\\",
    "a.com?x",
    "a.com#x",
  ],
  ...[
    "[::1",
    "::1]",
    "[127.0.0.1]",
    "[example.com]",
    "[]",
    "[[::1]]",
    "[::1]x",
    "1::2::3",
    "::ffff:0x7f.1",
    "::ffff:127.1",
    "a:b",
  ],
])("F4 F5 F11 %j is refused", (text) => {
  expect(hostOf(text).kind).toBe("refused");
});

describe("a place", () => {
  test.each([
    ["api.example.com:443", null, "api.example.com", 443],
    ["API.example.com.:65535", null, "api.example.com", 65_535],
    ["api.example.com", 80, "api.example.com", 80],
    ["api.example.com:1", 80, "api.example.com", 1],
  ] as const)("%s", (text, defaultPort, name, port) => {
    expect(placeOf(text, defaultPort)).toEqual({ host: { kind: "name", name }, port });
  });

  test("of IPv6 stands in brackets", () => {
    expect(placeOf("[::1]:443", null)?.host).toMatchObject({ kind: "address" });
    expect(placeOf("::1:443", null)).toBeNull();
    expect(placeOf("[::1]443", null)).toBeNull();
  });

  test.each([
    ...[
      "a.com",
      "a.com:",
      "a.com:0",
      "a.com:65536",
      "a.com:+443",
      "a.com:0443",
      "a.com: 443",
      "a.com:443 ",
      "a.com:4e2",
    ],
    ...["a.com:443,80", "a.com:443:80", "a.com:0x1bb", "a.com:-1", "a.com:４４３", "a.com:443\n", "a.com:100000", ""],
  ])("F14 F16 %j is none", (text) => {
    expect(placeOf(text, null)).toBeNull();
  });

  test.each(["user@a.com:443", "u:p@a.com", "a.com\n:443"])("%j is none that is dialled", (text) => {
    const place = placeOf(text, 80);
    expect(place === null || place.host.kind === "refused").toBe(true);
  });

  test("has a port from 1 to 65535", () => {
    expect([portOf("1"), portOf("65535"), portOf("65536"), portOf("0")]).toEqual([1, 65_535, null, null]);
  });
});
