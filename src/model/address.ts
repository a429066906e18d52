import { BlockList, isIP } from "node:net";

/** A row of addresses: `10.0.0.0/8`, `fd00::/8`, or one address. Null for what is none. */
export interface AddressRange {
  has(address: string): boolean;
}

export function addressRange(text: string): AddressRange | null {
  const [address = "", length, ...rest] = text.split("/");
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return null;
  const max = version === 4 ? 32 : 128;
  const prefix = length === undefined ? max : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (!(prefix <= max)) return null;
  return rangesOf([`${address}/${prefix}`]);
}

/**
 * Whether an address is one of the internet's, and of nobody's own network, host or cloud. Of IPv6 only what is given out counts, and of
 * that nothing that stands for an IPv4 address: whoever means one may say so.
 */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !notPublic4.has(address);
    case 6:
      return givenOut6.has(address) && !notPublic6.has(address);
    default:
      return false;
  }
}

/** Where clouds tell a machine its secrets: no setting opens these. */
export const isMetadataAddress = (address: string): boolean => metadata.has(address);

function rangesOf(texts: readonly string[]): AddressRange {
  const list = new BlockList();
  for (const text of texts) {
    const [address = "", prefix] = text.split("/");
    list.addSubnet(address, Number(prefix), isIP(address) === 4 ? "ipv4" : "ipv6");
  }
  return {
    has(address) {
      const version = isIP(address);
      return version !== 0 && list.check(address, version === 4 ? "ipv4" : "ipv6");
    },
  };
}

const notPublic4 = rangesOf([
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "168.63.129.16/32",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
]);

const givenOut6 = rangesOf(["2000::/3"]);

/** Teredo and other special purposes, documentation, 6to4. */
const notPublic6 = rangesOf(["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"]);

const metadata = rangesOf([
  "169.254.0.0/16",
  "168.63.129.16/32",
  "100.100.100.200/32",
  "192.0.0.192/32",
  "fe80::/10",
  "fd00:ec2::/32",
]);
