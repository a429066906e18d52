import { ExecutorError, type FailureDetail } from "../../model/failure.ts";
import { quoted } from "../../model/quoted.ts";
import type { JsonObject, JsonValue } from "../../model/task.ts";
import { pathName, pointerSegment, summary } from "../../schema/failure-details.ts";
import { payloadSchema } from "../define-tool.ts";

type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";

export interface HttpPayload {
  readonly method?: Method;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Exclude<JsonValue, null>;
}

/** What is sent first, with every default filled in. */
export interface HttpRequest {
  readonly method: Method;
  /** As the URL standard writes it, without a fragment. */
  readonly url: string;
  /** The caller's, and defaults for those it did not give. Names are in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

/** What is visible and space: a value in any other alphabet would be read in several ways. */
const headerText = "^[\\t\\u0020-\\u007e]*$";

export const inputSchema: JsonObject = payloadSchema(
  {
    method: {
      enum: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] satisfies Method[],
      description: "GET unless given, or POST where there is a body.",
    },
    url: {
      type: "string",
      maxBytes: 8192,
      pattern:
        "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#\\u0000-\\u0020\\u007f-\\u00a0\\\\][^\\u0000-\\u0020\\u007f-\\u00a0\\\\]*$",
      says: "must be a whole URL of http:// or https://, without spaces, control characters and backslashes",
      description: "Its host and port must be in network.allow.",
    },
    headers: {
      type: "object",
      maxProperties: 64,
      propertyNames: {
        pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$",
        says: "names are 1 to 256 letters, digits and !#$%&'*+-.^_`|~",
      },
      additionalProperties: {
        type: "string",
        maxBytes: 8192,
        pattern: headerText,
        says: "must be printable ASCII",
      },
      description: "To another origin, after a redirect, only those go that hold no credentials.",
    },
    body: {
      type: ["string", "object", "array", "number", "boolean"],
      maxBytes: 1024 * 1024,
      description: "A string is sent as it is, any other value as JSON.",
    },
  },
  ["url"],
  {
    examples: [
      { url: "https://api.example.com/v1/items?limit=10" },
      { url: "https://api.example.com/v1/items", headers: { Authorization: "Bearer TOKEN" }, body: { name: "a" } },
    ],
  },
);

/**
 * The request that a payload means.
 * @throws ExecutorError validation, for what the schema cannot say, with a detail for each. URL and values are not quoted: they may hold secrets.
 */
export function requestOf({ method, url, headers = {}, body }: HttpPayload): HttpRequest {
  const details: FailureDetail[] = [];
  const wrong = (path: string, why: string): void => {
    details.push({ path, message: `${pathName(path, "payload")} ${why}` });
  };
  const asked = method ?? (body === undefined ? "GET" : "POST");
  if (body !== undefined && (asked === "GET" || asked === "HEAD"))
    wrong("/payload/body", `is given with ${asked}, which has none: leave it out, or use POST`);
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  if (text !== undefined && Buffer.byteLength(text) > maxBodyBytes)
    wrong("/payload/body", `is ${Buffer.byteLength(text)} bytes long as JSON, at most ${maxBodyBytes}`);

  const href = hrefOf(url);
  if (href.kind === "bad") wrong("/payload/url", href.why);
  const own = headersOf(headers, wrong);
  const headBytes = url.length + Object.entries(own).reduce((sum, pair) => sum + pair.join(": \r\n").length, 0);
  if (headBytes > maxHeadBytes)
    wrong("/payload/headers", `and the URL have ${headBytes} bytes, at most ${maxHeadBytes}`);

  if (details.length > 0 || href.kind === "bad") throw new ExecutorError("validation", summary(details), { details });
  return {
    method: asked,
    url: href.href,
    headers: { ...defaultHeaders, ...typeFor(body), ...own },
    body: text ?? null,
  };
}

const maxBodyBytes = 1024 * 1024;

/** The proxy takes 16 KiB, the request's line and the headers of ours included. */
const maxHeadBytes = 15 * 1024;

const defaultHeaders: Readonly<Record<string, string>> = {
  accept: "*/*",
  "accept-encoding": "gzip, deflate, br",
  "user-agent": "tool-executor",
};

function typeFor(body: JsonValue | undefined): Readonly<Record<string, string>> {
  if (body === undefined) return {};
  return { "content-type": typeof body === "string" ? "text/plain; charset=utf-8" : "application/json" };
}

type Href = { readonly kind: "href"; readonly href: string } | { readonly kind: "bad"; readonly why: string };

function hrefOf(text: string): Href {
  const bad = (why: string): Href => ({ kind: "bad", why });
  if (/^[^/]*\/\/[^/?#]*@/.test(text)) return bad("has a user before its host: give the header Authorization instead");
  const url = URL.parse(text);
  if (url === null || url.hostname === "") return bad("has no host and port that can be read");
  url.hash = "";
  // Letters of other alphabets become longer.
  if (url.href.length > 8192) return bad(`is ${url.href.length} bytes long when it is escaped, at most 8192`);
  return { kind: "href", href: url.href };
}

function headersOf(
  headers: Readonly<Record<string, string>>,
  wrong: (path: string, why: string) => void,
): Readonly<Record<string, string>> {
  const own = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase();
    const path = `/payload/headers/${pointerSegment(name)}`;
    if (setByUs.has(lower) || lower.startsWith("proxy-"))
      wrong(path, "is for the tool or the proxy to set: leave it out");
    if (own.has(lower)) wrong(path, `is there twice, once as ${quoted(name)}`);
    own.set(lower, value.trim());
  }
  return Object.fromEntries(own);
}

/** What frames a message, or is for the next hop only. */
const setByUs: ReadonlySet<string> = new Set([
  ...["host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"],
  ...["http2-settings", "__proto__"],
]);
