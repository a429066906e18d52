/** Where Loki takes lines. Holds the password, where there is one. */
export interface LokiAddress {
  /** With scheme, host and port, and a path where a proxy wants one; no slash at its end. */
  readonly url: string;
  /** A header's value, or null. */
  readonly authorization: string | null;
}

/** `null` for anything but `http(s)://[user:password@]host[:port][/path]`. */
export function parseLokiUrl(text: string): LokiAddress | null {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.hostname === "") return null;
  if (url.search !== "" || url.hash !== "") return null;
  const isOpen = url.username === "" && url.password === "";
  try {
    const secret = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    const authorization = isOpen ? null : `Basic ${Buffer.from(secret).toString("base64")}`;
    return { url: `${url.origin}${url.pathname.replace(/\/+$/, "")}`, authorization };
  } catch {
    return null;
  }
}

/** The same address as it may be shown: everything but the password. */
export function shownLokiUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null) return "***";
  if (url.password !== "") url.password = "***";
  return url.href;
}
