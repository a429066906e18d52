/** Where spans go. Holds secrets where the headers do. */
export interface OtlpAddress {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** `null` for anything but `http(s)://HOST[:PORT][/PATH]`: what is in an address would be shown. */
export function parseOtlpEndpoint(text: string): string | null {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.hostname === "") return null;
  return [url.username, url.password, url.search, url.hash].join("") === "" ? url.href.replace(/\/+$/, "") : null;
}

/** `name=value` with commas between, values percent-encoded as in a URL; null for anything else. */
export function parseOtlpHeaders(text: string): OtlpAddress["headers"] | null {
  const pairs = text.split(",").filter((pair) => pair.trim() !== "");
  const headers: Record<string, string> = {};
  for (const pair of pairs) {
    const [, name, value = ""] =
      /^\s*([A-Za-z0-9!#$&'*+.^_`|~-]{1,128})\s*=\s*([\x21-\x7e]{0,4096})\s*$/.exec(pair) ?? [];
    if (name === undefined) return null;
    try {
      headers[name] = decodeURIComponent(value);
    } catch {
      return null;
    }
    if (/[^\x20-\x7e]/.test(headers[name])) return null;
  }
  return headers;
}

export function otlpAddress(endpoint: string, headers: string): OtlpAddress | null {
  return endpoint === "" ? null : { endpoint, headers: parseOtlpHeaders(headers) ?? {} };
}
