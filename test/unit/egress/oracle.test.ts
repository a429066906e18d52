import { isIP } from "node:net";
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { hostOf } from "../../../src/egress/host.ts";
import { addressRange, isPublicAddress } from "../../../src/model/address.ts";
import { judgeAddress } from "../../../src/model/judged-address.ts";
import { pythonView } from "../../support/python-addresses.ts";
import { seededRandom } from "../../support/random.ts";

// Another process, and thousands of texts.
vi.setConfig({ testTimeout: 60_000 });

/** Where Python says "global" and we deny, with the reason. There is no table for the other way round: nothing is in it. */
const deniedAllTheSame: readonly (readonly [range: string, why: string])[] = [
  ["168.63.129.16/32", "one cloud's fabric: its metadata and DNS, at an address of the internet"],
  ["192.0.0.0/24", "of IETF protocols, one cloud's metadata among them; Python leaves some of it open, by version"],
  ["192.88.99.0/24", "relays of 6to4, which are gone (RFC 7526)"],
  ["224.0.0.0/4", "multicast: no connection goes there; Python asks it apart"],
  ["::/96", "IPv4-compatible: a second spelling of an IPv4 address"],
  ["::ffff:0:0/96", "IPv4-mapped: a second spelling, which Python judges as the address inside"],
  ["::ffff:0:0:0/96", "IPv4-translated: a third"],
  ["64:ff9b::/96", "NAT64: leads to the IPv4 address inside"],
  ["64:ff9b:1::/48", "NAT64 of a network's own"],
  ["100::/16", "not given out, but for a hole that swallows all (RFC 6666)"],
  ["2001::/23", "of IETF protocols, Teredo among them; Python leaves some of it open, by version"],
  ["2002::/16", "6to4: leads to the IPv4 address inside"],
  ["3fff::/20", "documentation (RFC 9637), younger than some Pythons"],
  ["fec0::/10", "site-local: a private network, of old"],
  ["ff00::/8", "multicast"],
  ["::/3", "not given out"],
  ["4000::/2", "not given out; SRv6 among it"],
  ["8000::/1", "not given out, or not for the internet"],
];

/** First, last and neighbours of every range that any registry or table names, and what may be inside. */
const ranges = [
  ...[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "100.100.100.200/32",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
  ],
  ...[
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.0.0.170/31",
  ],
  ...["192.0.0.192/32", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"],
  ...[
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
  ],
  ...[
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
  ],
  ...[
    "2001::/23",
    "2001::/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
  ],
  ...[
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
  ],
  ...["fd00:ec2::/32", "fe80::/10", "fec0::/10", "ff00::/8", "2000::/3"],
];

function edgesOf(range: string): readonly string[] {
  const [address = "", length = ""] = range.split("/");
  const bits = isIP(address) === 4 ? 32 : 128;
  const first = toNumber(address);
  const last = first + (1n << BigInt(bits - Number(length))) - 1n;
  return [first - 1n, first, first + 1n, (first + last) / 2n, last - 1n, last, last + 1n]
    .filter((each) => each >= 0n && each < 1n << BigInt(bits))
    .map((each) => toText(each, bits));
}

/** By a way of its own: through the text that URLs have for an address. */
function toNumber(address: string): bigint {
  if (isIP(address) === 4) return address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  const [head = "", tail = ""] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split("::");
  const [front, back] = [head, tail].map((words) => (words === "" ? [] : words.split(":")));
  const zeros = Array<string>(8 - (front?.length ?? 0) - (back?.length ?? 0)).fill("0");
  return [...(front ?? []), ...zeros, ...(back ?? [])].reduce((sum, word) => sum * 65_536n + BigInt(`0x${word}`), 0n);
}

function toText(value: bigint, bits: number): string {
  const size = bits === 32 ? 8n : 16n;
  const parts = Array.from(
    { length: bits === 32 ? 4 : 8 },
    (_, at) => (value >> (BigInt(bits) - size * BigInt(at + 1))) & ((1n << size) - 1n),
  );
  return bits === 32 ? parts.join(".") : parts.map((part) => part.toString(16)).join(":");
}

function randomAddresses(count: number): readonly string[] {
  const random = seededRandom("addresses");
  const number = (bits: number): bigint =>
    Array.from({ length: bits / 16 }, () => BigInt(Math.floor(random() * 65_536))).reduce(
      (sum, part) => (sum << 16n) | part,
      0n,
    );
  return Array.from({ length: count }, (_, n) => (n % 2 === 0 ? toText(number(32), 32) : toText(number(128), 128)));
}

test("what Python does not take for global is denied; where we deny more, the table says why", () => {
  const addresses = [...ranges.flatMap(edgesOf), ...randomAddresses(4000)];
  const view = pythonView({ addresses, hosts: [] });
  const table = deniedAllTheSame.map(([range]) => addressRange(range));
  expect(table).not.toContain(null);
  const [open, unexplained]: [string[], string[]] = [[], []];
  for (const [at, address] of addresses.entries()) {
    const seen = view.addresses[at];
    expect(judgeAddress(address), address).not.toBeNull();
    if (isPublicAddress(address) && seen?.isGlobal !== true) open.push(address);
    if (!isPublicAddress(address) && seen?.isGlobal === true && !table.some((range) => range?.has(address)))
      unexplained.push(address);
  }
  expect({ open, unexplained }).toEqual({ open: [], unexplained: [] });
});

/** Numbers as inet_aton reads them, in one to four parts. */
const spelling = fc
  .tuple(
    fc.array(fc.nat(0xffffffff), { minLength: 1, maxLength: 4 }),
    fc.array(fc.nat(3), { minLength: 4, maxLength: 4 }),
    fc.constantFrom("", ".", " x"),
  )
  .map(([parts, bases, tail]) => {
    const written = parts.map((part, at) => {
      const value = at === parts.length - 1 ? part >>> (8 * at) : part & 0xff;
      const base = bases[at];
      return base === 0
        ? `0${value.toString(8)}`
        : base === 1
          ? `0x${value.toString(16)}`
          : base === 2
            ? `0X${value.toString(16).toUpperCase()}`
            : `${value}`;
    });
    return written.join(".") + tail;
  });

test("F4 no spelling that the C library takes for an address is a name", () => {
  const hosts = fc.sample(spelling, { numRuns: 3000, seed: 7 });
  const view = pythonView({ addresses: [], hosts });
  expect(view.hosts.filter((each) => each !== null).length).toBeGreaterThan(1000);
  for (const [at, text] of hosts.entries()) {
    const seen = view.hosts[at] ?? null;
    if (seen === null) continue;
    const host = hostOf(text);
    expect(host.kind, text).not.toBe("name");
    if (host.kind === "address") expect(host.address, text).toBe(seen);
  }
});

test("F4 nor one that the URL standard takes for an address", () => {
  const odd = fc.array(fc.constantFrom(..."0123456789abcdefxX..。．１２７0%3".split(""), "0x", "①"), {
    minLength: 1,
    maxLength: 12,
  });
  fc.assert(
    fc.property(
      fc.oneof(
        odd.map((parts) => parts.join("")),
        spelling,
      ),
      (text) => {
        const url = URL.parse(`http://${text}/`);
        if (url === null || isIP(url.hostname) !== 4) return;
        const host = hostOf(text);
        expect(host.kind === "address" ? host.address === url.hostname : host.kind === "refused", text).toBe(true);
      },
    ),
    { numRuns: 3000 },
  );
});

test("F11 a name is what the URL standard makes of it, where it is one at all", () => {
  const letters = fc.constantFrom(..."abzABZ019-_.üßéÉіªſK\u00adⓐ。ａ".split(""));
  fc.assert(
    fc.property(fc.array(letters, { minLength: 1, maxLength: 10 }), (parts) => {
      const host = hostOf(parts.join(""));
      if (host.kind !== "name") return;
      const url = URL.parse(`http://${parts.join("")}/`);
      expect(url?.hostname.replace(/\.$/, "")).toBe(host.name);
    }),
    { numRuns: 3000 },
  );
});
