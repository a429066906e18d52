import { describe, expect, test } from "vitest";
import { type AddressKind, canBeExcepted, canonicalAddress, judgeAddress } from "../../../src/model/judged-address.ts";

/** First and last of each range, and what is just outside. */
const edges: readonly (readonly [AddressKind, ...string[]])[] = [
  ["unspecified", "0.0.0.0", "0.255.255.255", "::"],
  ["public", "1.0.0.0", "9.255.255.255", "11.0.0.0", "8.8.8.8"],
  ["private", "10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"],
  ["public", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0"],
  ["cgnat", "100.64.0.0", "100.127.255.255", "100.100.100.199", "100.100.100.201"],
  ["public", "100.63.255.255", "100.128.0.0"],
  ["loopback", "127.0.0.0", "127.0.0.1", "127.255.255.255", "::1"],
  ["public", "126.255.255.255", "128.0.0.0"],
  ["link_local", "169.254.0.0", "169.254.255.255", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["public", "169.253.255.255", "169.255.0.0"],
  ["metadata", "169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16", "192.0.0.192"],
  ["metadata", "fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fe80::a9fe:a9fe"],
  ["public", "168.63.129.15", "168.63.129.17"],
  ["reserved", "192.0.0.0", "192.0.0.255", "240.0.0.0", "255.255.255.254"],
  ["public", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0"],
  ["documentation", "192.0.2.0", "192.0.2.255", "198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255"],
  ["documentation", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff::1"],
  ["public", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "2001:db7:ffff::1", "2001:db9::1"],
  ["public", "3ffe:ffff::1", "3fff:1000::1"],
  ["sixtofour", "192.88.99.0", "192.88.99.255", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["public", "2001:ffff::1", "2003::1"],
  ["benchmarking", "198.18.0.0", "198.19.255.255", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff"],
  ["public", "198.17.255.255", "198.20.0.0"],
  ["multicast", "224.0.0.0", "239.255.255.255", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["public", "223.255.255.255"],
  ["broadcast", "255.255.255.255"],
  ["ipv4_compatible", "::2", "::127.0.0.1", "::ffff:ffff"],
  ["ipv4_mapped", "::ffff:0.0.0.0", "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:ffff:a9fe:a9fe", "::ffff:8.8.8.8"],
  ["ipv4_translated", "::ffff:0:7f00:1", "::ffff:0:8.8.8.8"],
  ["nat64", "64:ff9b::", "64:ff9b::7f00:1", "64:ff9b::ffff:ffff"],
  ["local_nat64", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"],
  [
    "reserved",
    "64:ff9b:0:0:0:1::",
    "64:ff9b:2::",
    "::1:0:0:0",
    "100::",
    "100:0:0:1::1",
    "1fff:ffff::1",
    "4000::",
    "5f00::1",
  ],
  ["teredo", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["reserved", "2001:1::1", "2001:1:ffff::", "2001:2:1::", "2001:10::1", "2001:20::1", "2001:1ff:ffff::1"],
  ["public", "2000::", "2001:200::", "2606:4700::1111", "3ffe::1", "2001:4860:4860::8888"],
  ["unique_local", "fc00::", "fd00:ec1:ffff::1", "fd00:ec3::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["reserved", "fbff:ffff::1", "fe00::1", "fe7f:ffff::1"],
  ["site_local", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["isatap", "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:a9fe:a9fe"],
  ["scoped", "fe80::1%eth0", "2606:4700::1111%1"],
];

test.each(edges.flatMap(([kind, ...texts]) => texts.map((text) => [text, kind] as const)))(
  "F5 F7 F8 %s is %s",
  (text, kind) => {
    expect(judgeAddress(text)?.kind).toBe(kind);
  },
);

test.each(["", "localhost", "127.1", "0x7f000001", "0177.0.0.1", "2130706433", "1.2.3.4 ", "[::1]", "1::2::3", "::1%"])(
  "%j is no address",
  (text) => {
    expect(judgeAddress(text)).toBeNull();
    expect(canonicalAddress(text)).toBeNull();
  },
);

test.each<[string, string, AddressKind]>([
  ["::ffff:169.254.169.254", "169.254.169.254", "metadata"],
  ["::ffff:8.8.8.8", "8.8.8.8", "public"],
  ["::10.0.0.1", "10.0.0.1", "private"],
  ["::ffff:0:127.0.0.1", "127.0.0.1", "loopback"],
  ["64:ff9b::a9fe:a9fe", "169.254.169.254", "metadata"],
  ["2002:a9fe:a9fe::1", "169.254.169.254", "metadata"],
  ["2002:808:808::1", "8.8.8.8", "public"],
  ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45", "documentation"],
  ["2001:0:4136:e378:8000:63bf:5601:5601", "169.254.169.254", "metadata"],
  ["2606:4700::5efe:10.0.0.1", "10.0.0.1", "private"],
  ["fd12::5efe:169.254.169.254", "169.254.169.254", "metadata"],
])("F5 inside %s is %s, which is %s", (text, address, kind) => {
  expect(judgeAddress(text)?.inner).toEqual({ address, kind });
});

describe("an exception", () => {
  const may = (text: string): boolean => {
    const judged = judgeAddress(text);
    return judged !== null && canBeExcepted(judged);
  };

  test.each(["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1", "fd12::1", "64:ff9b::8.8.8.8"])(
    "may open %s",
    (text) => {
      expect(may(text)).toBe(true);
    },
  );

  test.each([
    ...[
      "169.254.169.254",
      "169.254.1.1",
      "100.100.100.200",
      "168.63.129.16",
      "192.0.0.192",
      "fd00:ec2::254",
      "fe80::1",
    ],
    ...[
      "0.0.0.0",
      "::",
      "224.0.0.1",
      "255.255.255.255",
      "240.0.0.1",
      "::ffff:10.0.0.1",
      "::10.0.0.1",
      "64:ff9b::10.0.0.1",
    ],
    ...[
      "64:ff9b::a9fe:a9fe",
      "64:ff9b:1::a9fe:a9fe",
      "2002:a9fe:a9fe::1",
      "fd12::5efe:169.254.169.254",
      "fe80::1%eth0",
    ],
  ])("F7 never opens %s", (text) => {
    expect(may(text)).toBe(false);
  });
});

test.each([
  ["::1", "0:0:0:0:0:0:0:1"],
  ["FE80::1", "fe80:0:0:0:0:0:0:1"],
  ["::ffff:127.0.0.1", "0:0:0:0:0:ffff:7f00:1"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
  ["8.8.8.8", "8.8.8.8"],
])("%s is written %s", (text, written) => {
  expect(canonicalAddress(text)).toBe(written);
});
