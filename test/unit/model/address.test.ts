import { expect, test } from "vitest";
import { addressRange, isMetadataAddress, isPublicAddress } from "../../../src/model/address.ts";

test.each([
  "0.0.0.0",
  "10.0.0.1",
  "100.64.0.1",
  "100.127.255.255",
  "100.100.100.200",
  "127.0.0.1",
  "127.255.255.254",
  "168.63.129.16",
  "169.254.169.254",
  "172.16.0.1",
  "172.31.255.255",
  "192.0.0.192",
  "192.168.1.1",
  "198.18.0.1",
  "198.19.255.255",
  "224.0.0.1",
  "240.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "::ffff:127.0.0.1",
  "::ffff:8.8.8.8",
  "::ffff:a9fe:a9fe",
  "fe80::1",
  "fc00::1",
  "fd00:ec2::254",
  "ff02::1",
  "64:ff9b::7f00:1",
  "2002:7f00:1::1",
  "2001::1",
  "2001:db8::1",
  "localhost",
  "127.1",
  "",
])("F5 F7 F8 %j is no address of the internet", (address) => {
  expect(isPublicAddress(address)).toBe(false);
});

test.each(["8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "2606:4700::1111"])(
  "F8 %s is one",
  (address) => {
    expect(isPublicAddress(address)).toBe(true);
  },
);

test.each(["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "::ffff:a9fe:a9fe"])(
  "F7 %s is where a cloud tells its secrets",
  (address) => {
    expect(isMetadataAddress(address)).toBe(true);
  },
);

test.each<[string, string, boolean]>([
  ["10.0.0.0/8", "10.255.0.1", true],
  ["10.0.0.0/8", "11.0.0.0", false],
  ["127.0.0.1", "127.0.0.1", true],
  ["127.0.0.1", "127.0.0.2", false],
  ["fd12::/16", "fd12::9", true],
  ["fd12::/16", "fd13::9", false],
])("%s and %s", (range, address, has) => {
  expect(addressRange(range)?.has(address)).toBe(has);
});

test.each(["10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/8/8", "::/129", "localhost", "", "10.0.0.0/-1"])(
  "%j is no range",
  (text) => {
    expect(addressRange(text)).toBeNull();
  },
);
