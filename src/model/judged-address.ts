import { isIP } from "node:net";

/** What an address is of. Only `public` may be dialled without an operator's exception. */
export type AddressKind =
  | "public"
  /** Where a cloud tells a machine its secrets, or a fabric of it listens. */
  | "metadata"
  | "loopback"
  | "private"
  | "link_local"
  | "cgnat"
  | "benchmarking"
  | "multicast"
  | "broadcast"
  | "unspecified"
  | "documentation"
  | "unique_local"
  | "site_local"
  | "ipv4_compatible"
  | "ipv4_mapped"
  | "ipv4_translated"
  | "nat64"
  | "local_nat64"
  | "sixtofour"
  | "teredo"
  | "isatap"
  /** With an interface behind a `%`: never what a name of the internet resolves to. */
  | "scoped"
  | "reserved";

export interface JudgedAddress {
  readonly kind: AddressKind;
  /** The IPv4 address inside an IPv6 one, where its kind carries one. */
  readonly inner: { readonly address: string; readonly kind: AddressKind } | null;
}

/** What an address is, of the forms that `node:net` takes for one; null for any other text, such as `127.1`. */
export function judgeAddress(text: string): JudgedAddress | null {
  switch (isIP(text)) {
    case 4:
      return { kind: kindOf(text, bytes4(text)), inner: null };
    case 6:
      return judge6(text);
    default:
      return null;
  }
}

/**
 * Whether an operator's exception may open an address at all. Some it never may: metadata, whatever no connection can mean, and second
 * spellings of an IPv4 address, which has a first one. What carries an IPv4 address is as closed as that is.
 */
export function canBeExcepted({ kind, inner }: JudgedAddress): boolean {
  return exceptable.has(kind) && (inner === null || inner.kind === "public");
}

const exceptable: ReadonlySet<AddressKind> = new Set<AddressKind>([
  ...(["loopback", "private", "cgnat", "benchmarking", "documentation", "unique_local", "site_local"] as const),
  // A network without IPv4 may reach all of the internet through it.
  "nat64",
]);

/** The one way this house writes an address: IPv4 as it is, IPv6 in full. Null for what is none, and for a scoped one. */
export function canonicalAddress(text: string): string | null {
  switch (isIP(text)) {
    case 4:
      return text;
    case 6:
      return text.includes("%") ? null : text6(bytes6(text));
    default:
      return null;
  }
}

function judge6(text: string): JudgedAddress {
  if (text.includes("%")) return { kind: "scoped", inner: null };
  const bytes = bytes6(text);
  const kind = kindOf(text, bytes);
  if (kind === "public" && isIsatap(bytes)) return { kind: "isatap", inner: innerOf(bytes.slice(12)) };
  switch (kind) {
    case "ipv4_compatible":
    case "ipv4_mapped":
    case "ipv4_translated":
    case "nat64":
      return { kind, inner: innerOf(bytes.slice(12)) };
    case "sixtofour":
      return { kind, inner: innerOf(bytes.slice(2, 6)) };
    case "teredo":
      // The client's address is written inverted (RFC 4380).
      return { kind, inner: innerOf(bytes.slice(12).map((byte) => byte ^ 0xff)) };
    case "link_local":
    case "unique_local":
    case "site_local":
      return isIsatap(bytes) ? { kind, inner: innerOf(bytes.slice(12)) } : { kind, inner: null };
    default:
      return { kind, inner: null };
  }
}

function innerOf(bytes: readonly number[]): JudgedAddress["inner"] {
  const address = bytes.join(".");
  return { address, kind: kindOf(address, bytes) };
}

/** An interface identifier of RFC 5214: `0:5efe` or `200:5efe` before an IPv4 address. */
const isIsatap = (bytes: readonly number[]): boolean =>
  ((bytes[8] ?? 0) & 0xfd) === 0 && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe;

function kindOf(text: string, bytes: readonly number[]): AddressKind {
  const row = (bytes.length === 4 ? ranges4 : ranges6).find(({ start, length }) => startsAlike(bytes, start, length));
  if (row === undefined) throw new Error(`no range has ${text}`);
  return row.kind;
}

interface Range {
  readonly start: readonly number[];
  /** Bits that count. */
  readonly length: number;
  readonly kind: AddressKind;
}

function startsAlike(bytes: readonly number[], start: readonly number[], length: number): boolean {
  for (let at = 0; at * 8 < length; at++) {
    const free = Math.max(0, 8 - (length - at * 8));
    if ((bytes[at] ?? 0) >> free !== (start[at] ?? 0) >> free) return false;
  }
  return true;
}

const bytes4 = (text: string): readonly number[] => text.split(".").map(Number);

/** Of a text that `isIP` takes for IPv6, without a zone. */
function bytes6(text: string): readonly number[] {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const [, before = text, tail = ""] = dotted ?? [];
  const last = tail === "" ? [] : bytes4(tail);
  // `a::1.2.3.4` keeps its `::`, `a:1.2.3.4` leaves a colon behind.
  const words = dotted !== null && !before.endsWith("::") ? before.slice(0, -1) : before;
  const [head = "", rest] = words.split("::");
  const front = bytesOfWords(head);
  const back = [...bytesOfWords(rest ?? ""), ...last];
  return [...front, ...Array<number>(16 - front.length - back.length).fill(0), ...back];
}

const bytesOfWords = (words: string): readonly number[] =>
  words === ""
    ? []
    : words.split(":").flatMap((word) => [Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 0xff]);

function text6(bytes: readonly number[]): string {
  const words = Array.from({ length: 8 }, (_, at) =>
    (((bytes[at * 2] ?? 0) << 8) | (bytes[at * 2 + 1] ?? 0)).toString(16),
  );
  return words.join(":");
}

const range = (text: string, kind: AddressKind): Range => {
  const [address = "", length = ""] = text.split("/");
  return { start: isIP(address) === 4 ? bytes4(address) : bytes6(address), length: Number(length), kind };
};

/** The first that has an address counts: the narrower stands before the wider, and the last has all. */
const ranges4: readonly Range[] = [
  range("169.254.169.254/32", "metadata"),
  // Credentials of containers at one cloud, two ways.
  range("169.254.170.2/32", "metadata"),
  range("169.254.170.23/32", "metadata"),
  range("100.100.100.200/32", "metadata"),
  range("168.63.129.16/32", "metadata"),
  range("192.0.0.192/32", "metadata"),
  range("0.0.0.0/8", "unspecified"),
  range("10.0.0.0/8", "private"),
  range("100.64.0.0/10", "cgnat"),
  range("127.0.0.0/8", "loopback"),
  range("169.254.0.0/16", "link_local"),
  range("172.16.0.0/12", "private"),
  range("192.0.0.0/24", "reserved"),
  range("192.0.2.0/24", "documentation"),
  range("192.88.99.0/24", "sixtofour"),
  range("192.168.0.0/16", "private"),
  range("198.18.0.0/15", "benchmarking"),
  range("198.51.100.0/24", "documentation"),
  range("203.0.113.0/24", "documentation"),
  range("224.0.0.0/4", "multicast"),
  range("255.255.255.255/32", "broadcast"),
  range("240.0.0.0/4", "reserved"),
  range("0.0.0.0/0", "public"),
];

/** Of IPv6 only what is given out (2000::/3) counts as public. */
const ranges6: readonly Range[] = [
  range("fd00:ec2::/32", "metadata"),
  range("fd20:ce::254/128", "metadata"),
  range("fd00:c1::a9fe:a9fe/128", "metadata"),
  range("fd00:42::42/128", "metadata"),
  range("fe80::a9fe:a9fe/128", "metadata"),
  range("::/128", "unspecified"),
  range("::1/128", "loopback"),
  range("::/96", "ipv4_compatible"),
  range("::ffff:0:0/96", "ipv4_mapped"),
  range("::ffff:0:0:0/96", "ipv4_translated"),
  range("64:ff9b::/96", "nat64"),
  // Where the IPv4 address stands in it, only its network knows (RFC 8215).
  range("64:ff9b:1::/48", "local_nat64"),
  range("2001::/32", "teredo"),
  range("2001:2::/48", "benchmarking"),
  range("2001:db8::/32", "documentation"),
  range("2001::/23", "reserved"),
  range("2002::/16", "sixtofour"),
  range("3fff::/20", "documentation"),
  range("2000::/3", "public"),
  range("fc00::/7", "unique_local"),
  range("fe80::/10", "link_local"),
  range("fec0::/10", "site_local"),
  range("ff00::/8", "multicast"),
  range("::/0", "reserved"),
];
