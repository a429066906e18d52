/** Where a database is, and who we are there. Holds the password: never printed as a whole. */
export interface DatabaseAddress {
  /** A name, an address, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  readonly tls: TlsMode;
}

/** As `sslmode` and `sslrootcert` say. `caFile`: null for the certificates that Node trusts. */
export type TlsMode =
  | { readonly kind: "disable" }
  | { readonly kind: "require" }
  | { readonly kind: "verify-full"; readonly caFile: string | null };

const parameters: readonly string[] = ["host", "sslmode", "sslrootcert"];

/** `null` for anything that is no address of this form, also for a parameter that is not known: none is ignored. */
export function parseDatabaseUrl(text: string): DatabaseAddress | null {
  const url = URL.parse(text);
  if (url === null || !["postgres:", "postgresql:"].includes(url.protocol) || url.hash !== "") return null;
  const given = [...url.searchParams.keys()];
  if (given.some((name) => !parameters.includes(name)) || new Set(given).size !== given.length) return null;
  const tls = tlsMode(url.searchParams.get("sslmode") ?? "disable", url.searchParams.get("sslrootcert"));
  const [user, password, database] = [url.username, url.password, url.pathname.slice(1)].map(decoded);
  const host = url.searchParams.get("host") ?? url.hostname.replace(/^\[(.*)\]$/, "$1");
  if (tls === null || !user || password === undefined || !database || host === "") return null;
  return { host, port: url.port === "" ? 5432 : Number(url.port), database, user, password, tls };
}

/** The address for messages: without user and password. */
export const addressText = ({ host, port, database }: DatabaseAddress): string =>
  `${host.includes(":") ? `[${host}]` : host}:${port}/${database}`;

/** The same address as it may be shown: everything but the password. */
export const shownDatabaseUrl = (text: string): string => {
  const url = URL.parse(text);
  if (url === null) return "***";
  if (url.password !== "") url.password = "***";
  return url.href;
};

function tlsMode(mode: string, caFile: string | null): TlsMode | null {
  if (mode === "verify-full") return caFile === null || caFile.startsWith("/") ? { kind: "verify-full", caFile } : null;
  // A file of certificates that is not looked at would be a wall that is not there.
  if (caFile !== null) return null;
  return mode === "disable" || mode === "require" ? { kind: mode } : null;
}

function decoded(text: string): string | undefined {
  try {
    const plain = decodeURIComponent(text);
    return plain.includes("\0") ? undefined : plain;
  } catch {
    return undefined;
  }
}
