import type { IncomingMessage } from "node:http";
import { HttpProblem } from "./problem.ts";

/** Names the server may be called by, in lower case, without port; null: any. */
export type KnownHosts = ReadonlySet<string> | null;

export const loopbackNames: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];

/**
 * Refuses what a browser sends on a stranger's behalf (a name of theirs that resolves to here, a page of theirs), and what could be
 * read in two ways. @throws HttpProblem bad_request | forbidden | unsupported_media_type
 */
export function guard(request: IncomingMessage, hosts: KnownHosts): void {
  const { headers, rawHeaders } = request;
  const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  for (const once of ["host", "content-length", "content-type", "authorization", "idempotency-key"])
    if (names.filter((name) => name === once).length > 1)
      throw new HttpProblem("bad_request", `${once} stands more than once in the headers`);
  const host = hostName(headers.host ?? "");
  if (host === null) throw new HttpProblem("bad_request", "Host is no name with an optional port");
  if (hosts !== null && !hosts.has(host))
    throw new HttpProblem("forbidden", "Host is no name of this server", {
      hint: `allowed: ${[...hosts].join(", ")}; the setting TOOL_EXECUTOR_HTTP_HOSTS names others`,
    });
  const { origin } = headers;
  if (origin !== undefined && origin !== `http://${headers.host}` && origin !== `https://${headers.host}`)
    throw new HttpProblem("forbidden", "requests on behalf of another origin are not answered");
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity")
    throw new HttpProblem("unsupported_media_type", "a body with Content-Encoding is not taken; send it as it is");
}

function hostName(host: string): string | null {
  const match = /^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/.exec(host);
  return match?.[1]?.toLowerCase() ?? null;
}
