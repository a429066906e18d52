/** A secret store with Vault's API, and what of it is ours. Holds a token, or what one is got for. */
export interface VaultAddress {
  /** With scheme, host and port, and a path where a proxy wants one; no slash at its end. */
  readonly url: string;
  /** Null: the root's. */
  readonly namespace: string | null;
  /** Certificates that its own is signed with; null: the usual ones. */
  readonly caPath: string | null;
  /** Where a KV engine of version 2 is mounted. */
  readonly mount: string;
  /** The folder in it below which each tenant has its own; empty: they stand at its top. */
  readonly prefix: string;
  /** Null: nothing to show was given, so whoever asks for a secret is told. */
  readonly login: VaultLogin | null;
}

/** How the executor shows who it is. */
export type VaultLogin =
  | { readonly kind: "token"; readonly token: string }
  /** Read at every question: an agent beside us writes a new one before the last ends. */
  | { readonly kind: "token_file"; readonly path: string }
  | { readonly kind: "approle"; readonly roleId: string; readonly secretId: SecretId };

/** An AppRole may be bound otherwise, and then needs none. */
export type SecretId =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "none" };

/** `null` for anything but `http(s)://host[:port][/path]`. */
export function parseVaultUrl(text: string): string | null {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.hostname === "") return null;
  if (url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "") return null;
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}
