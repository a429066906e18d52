// Headers: those that may follow a redirect to another origin, and those of an answer as a value shows them.
"use strict";

/** SAFETY: a header is known to hold no credential, or it stays at the origin that it was given for. No name tells a secret for certain. */
const harmless = new Set([
  ...[
    "accept",
    "accept-encoding",
    "accept-language",
    "user-agent",
    "content-type",
    "content-language",
    "content-encoding",
  ],
  ...[
    "cache-control",
    "pragma",
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
  ],
  ...["prefer", "date", "dnt"],
]);

/** What goes on to another origin, and the names of what does not. */
exports.withoutCredentials = (headers) => {
  const entries = Object.entries(headers);
  return {
    headers: Object.fromEntries(entries.filter(([name]) => harmless.has(name))),
    dropped: entries.map(([name]) => name).filter((name) => !harmless.has(name)),
  };
};

/** What a request without its body says nothing of. */
exports.withoutBody = (headers) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith("content-")));

/** They tell of the connection, or have a name that no value of ours may have. */
const unshown = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "__proto__"]);

/** By name in lower case. */
exports.shownHeaders = (raw) => {
  const shown = new Map();
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at].toLowerCase();
    const value = asText(raw[at + 1]);
    if (unshown.has(name)) continue;
    if (name === "set-cookie") shown.set(name, [...(shown.get(name) ?? []), value]);
    else shown.set(name, shown.has(name) ? `${shown.get(name)}, ${value}` : value);
  }
  return Object.fromEntries(shown);
};

/** Bytes that are UTF-8 are meant as such; others are Latin-1. */
function asText(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(bytes, "latin1"));
  } catch {
    return bytes;
  }
}
exports.asText = asText;
