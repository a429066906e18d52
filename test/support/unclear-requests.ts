/** What is no clear HTTP request, as bytes. */
type Unclear = readonly [row: string, name: string, bytes: string, status: number];

/** A request line with its headers, and the empty line behind them. */
export const requestHead = (line: string, ...headers: readonly string[]): string =>
  [line, "Host: localhost", ...headers, "", ""].join("\r\n");

const body = '{"task_id":"a"}';
const post = (...headers: readonly string[]): string =>
  requestHead("POST /v1/tasks HTTP/1.1", "Content-Type: application/json", ...headers);
const get = (...headers: readonly string[]): string => requestHead("GET /healthz HTTP/1.1", ...headers);

/** Each is answered with its status, and the connection is closed. */
export const unclearRequests: readonly Unclear[] = [
  ["G28", "both lengths", `${post("Content-Length: 15", "Transfer-Encoding: chunked")}${body}`, 400],
  ["G28", "two lengths", `${post("Content-Length: 15", "Content-Length: 16")}${body}`, 400],
  ["G28", "a negative length", `${post("Content-Length: -1")}${body}`, 400],
  ["G28", "a length that is no number", `${post("Content-Length: 1e9")}${body}`, 400],
  ["G28", "an unknown transfer coding", `${post("Transfer-Encoding: xchunked")}0\r\n\r\n`, 400],
  ["G28", "chunked not last", `${post("Transfer-Encoding: chunked, identity")}0\r\n\r\n`, 400],
  ["G28", "garbage for a chunk", `${post("Transfer-Encoding: chunked")}zz\r\n\r\n`, 400],
  ["G28", "a chunk extension of 1 MB", `${post("Transfer-Encoding: chunked")}1;${"x".repeat(1 << 20)}\r\na\r\n`, 400],
  ["G28", "100 KB of header", get(`X: ${"x".repeat(100_000)}`), 431],
  ["G28", "100,000 headers", get(Array.from({ length: 100_000 }, (_, n) => `X${n}: 1`).join("\r\n")), 431],
  ["G28", "a line folded", get("X: a\r\n b"), 400],
  ["G28", "bare line feeds", "GET /healthz HTTP/1.1\nHost: localhost\n\n", 400],
  ["G28", "a NUL in a header", get("X: a\0b"), 400],
  ["G28", "an expectation nobody knows", get("Expect: 42"), 417],
  ["F16", "two hosts", get("Host: localhost", "Connection: close"), 400],
  ["F16", "no host", "GET /healthz HTTP/1.1\r\n\r\n", 400],
  ["F19", "HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
  ["G28", "a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
  ["G28", "no HTTP at all", "hello\r\n\r\n", 400],
];

/** From a browser that works for somebody else (G31): clear requests, each answered with 403. */
export const strangersRequests: readonly (readonly [name: string, bytes: string])[] = [
  ["by a name of theirs that resolves to here", "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"],
  ["by that name and our port", "GET / HTTP/1.1\r\nHost: evil.example:80\r\nConnection: close\r\n\r\n"],
  ["by a name that only begins as ours", "GET / HTTP/1.1\r\nHost: localhost.evil.example\r\nConnection: close\r\n\r\n"],
  ["from a page of theirs", ofPage("http://evil.example")],
  ["from a sandboxed page", ofPage("null")],
  ["from another port of this host", ofPage("http://localhost:1")],
];

function ofPage(origin: string): string {
  return requestHead("GET /v1/tools HTTP/1.1", `Origin: ${origin}`, "Connection: close");
}
