import { BlockList, isIP } from "node:net";
import { type AddressKind, judgeAddress } from "./judged-address.ts";

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
  const list = new BlockList();
  list.addSubnet(address, prefix, familyOf(version));
  return {
    has(other) {
      const its = isIP(other);
      return its !== 0 && list.check(other, familyOf(its));
    },
  };
}

/** Whether an address is one of the internet's, and of nobody's own network, host or cloud. */
export const isPublicAddress = (address: string): boolean => judgeAddress(address)?.kind === "public";

/** Where clouds tell a machine its secrets, however it is written, and the links beside it: no setting opens these. */
export function isMetadataAddress(address: string): boolean {
  const judged = judgeAddress(address);
  return judged !== null && (closed.has(judged.kind) || (judged.inner !== null && closed.has(judged.inner.kind)));
}

const closed: ReadonlySet<AddressKind> = new Set<AddressKind>(["metadata", "link_local", "scoped"]);

const familyOf = (version: number): "ipv4" | "ipv6" => (version === 4 ? "ipv4" : "ipv6");
