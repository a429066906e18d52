import type { IncomingMessage } from "node:http";
import { type Place, placeOf } from "./host.ts";

/** A request that is not one, with the status that says so. The connection is closed behind it. */
export interface BadRequest {
  readonly kind: "bad";
  readonly status: 400 | 405 | 501 | 505;
  readonly why: string;
}

export type Target = BadRequest | { readonly kind: "target"; readonly place: Place; readonly path: string };

/**
 * Where a request goes, by its whole URL and its `Host`, which must agree.
 * @param fixed where the connection leads already, of a client that speaks as if to the host itself.
 */
export function targetOf(request: IncomingMessage, fixed: Place | null): Target {
  const framing = unclearFraming(request);
  if (framing !== null) return framing;
  if (request.headers.upgrade !== undefined || request.headers["http2-settings"] !== undefined)
    return bad(501, "no other protocol can be changed to");
  if (request.method === "TRACE") return bad(405, "TRACE is not passed on");
  const [, authority, path = "/"] =
    (fixed === null
      ? /^http:\/\/([^/?#\\@]+)([/?][^#]*)?$/i.exec(request.url ?? "")
      : /^()(\/[^#]*)$/.exec(request.url ?? "")) ?? [];
  if (authority === undefined)
    return bad(
      400,
      fixed === null ? "the request needs a whole URL of http://; of https:// use CONNECT" : "the request needs a path",
    );
  const place = fixed ?? placeOf(authority, defaultPort);
  if (place === null) return bad(400, "the URL has no host and port that are clear");
  if (!agrees(request, place)) return bad(400, "Host is another than the URL's");
  return { kind: "target", place, path: path.startsWith("?") ? `/${path}` : path };
}

/** Where a CONNECT goes. */
export function connectTarget(request: IncomingMessage): Target {
  const framing = unclearFraming(request);
  if (framing !== null) return framing;
  if (countOf(request, "content-length") + countOf(request, "transfer-encoding") > 0)
    return bad(400, "CONNECT has no body");
  const place = placeOf(request.url ?? "", null);
  if (place === null) return bad(400, "CONNECT needs HOST:PORT");
  if (countOf(request, "host") > 0 && !agrees(request, place))
    return bad(400, "Host is another than the one of CONNECT");
  return { kind: "target", place, path: "" };
}

/**
 * The headers that are for the other end, as they were written; the framing is written anew by who sends them.
 * @param raw names and values in turn.
 */
export function endToEnd(raw: readonly string[]): Readonly<Record<string, readonly string[]>> {
  const pairs = pairsOf(raw);
  const named = pairs.filter(([name]) => name.toLowerCase() === "connection").flatMap(([, value]) => value.split(","));
  const hops = new Set([...hopByHop, ...named.map((name) => name.trim().toLowerCase())]);
  const kept: Record<string, string[]> = Object.create(null);
  const spelling = new Map<string, string>();
  for (const [name, value] of pairs) {
    const lower = name.toLowerCase();
    if (hops.has(lower)) continue;
    const key = spelling.get(lower) ?? name;
    spelling.set(lower, key);
    kept[key] = [...(kept[key] ?? []), value];
  }
  return kept;
}

const defaultPort = 80;

/** `Host` goes anew with its judged name; a length too, where it is one. */
const hopByHop: readonly string[] = [
  ...["connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"],
  ...["te", "trailer", "transfer-encoding", "upgrade", "expect", "host", "content-length"],
  // Ours is the only one a task gets to see: it tells our answers from a host's.
  "proxy-status",
];

const bad = (status: BadRequest["status"], why: string): BadRequest => ({ kind: "bad", status, why });

/** What the parser lets pass and two readers might read in two ways. */
function unclearFraming(request: IncomingMessage): BadRequest | null {
  const version = request.httpVersion;
  if (version !== "1.1" && version !== "1.0") return bad(505, "the request is neither HTTP/1.1 nor HTTP/1.0");
  if (countOf(request, "host") > 1) return bad(400, "the request has Host twice");
  const lengths = countOf(request, "content-length");
  const codings = countOf(request, "transfer-encoding");
  if (lengths + codings > 1) return bad(400, "the request tells its length twice");
  if (codings > 0 && (version === "1.0" || request.headers["transfer-encoding"]?.toLowerCase() !== "chunked"))
    return bad(400, "the request has a transfer coding other than chunked");
  const length = request.headers["content-length"];
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return bad(400, "Content-Length is no number");
  return null;
}

/** Whether `Host` says the same; a client of HTTP/1.0 may leave it out, the port of http and CONNECT too. */
function agrees(request: IncomingMessage, place: Place): boolean {
  const host = request.headers.host;
  if (host === undefined) return request.httpVersion === "1.0";
  const said = placeOf(host, place.port);
  if (said === null || said.port !== place.port) return false;
  // A port of its own must be said: to its host, `Host` without one is port 80.
  if (!/:\d+$/.test(host) && request.method !== "CONNECT" && place.port !== defaultPort) return false;
  switch (said.host.kind) {
    case "name":
      return place.host.kind === "name" && said.host.name === place.host.name;
    case "address":
      return place.host.kind === "address" && said.host.address === place.host.address;
    case "refused":
      return place.host.kind === "refused";
  }
}

function countOf({ rawHeaders }: IncomingMessage, name: string): number {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) if (rawHeaders[at]?.toLowerCase() === name) count += 1;
  return count;
}

const pairsOf = (raw: readonly string[]): readonly (readonly [string, string])[] =>
  Array.from({ length: raw.length >> 1 }, (_, at) => [raw[at * 2] ?? "", raw[at * 2 + 1] ?? ""]);
