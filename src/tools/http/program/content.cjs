// What a small body is: JSON, text in some charset, or neither.
"use strict";

const { extname } = require("node:path");

/** Type and charset of a Content-Type header, in lower case; null where it does not tell. */
exports.mediaType = (header) => {
  const [type = ""] = (header ?? "").split(";", 1);
  const [, charset] = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(header ?? "") ?? [];
  return { type: type.trim().toLowerCase() || null, charset: charset?.toLowerCase() ?? null };
};

/** The body as a value, `as` JSON or text; null for what is neither. */
exports.contentOf = (bytes, media) => {
  const text = textOf(bytes, media);
  if (text === null) return null;
  return (isJson(media) ? jsonOf(text) : null) ?? { as: "text", value: text };
};

/** How the name of the artifact ends. Of a type that tells nothing the URL may. */
exports.endingFor = ({ type }, url) => {
  const known = endings[type] ?? /^[^/]+\/(?:[^+]*\+)?(json|xml|yaml)$/.exec(type ?? "")?.[1];
  if (known !== undefined) return known;
  const [, asked] = /^\.([A-Za-z0-9]{1,8})$/.exec(extname(url.pathname)) ?? [];
  return asked?.toLowerCase() ?? (isText(type) ? "txt" : "bin");
};

const endings = {
  "application/javascript": "js",
  "application/gzip": "gz",
  "application/pdf": "pdf",
  "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
  "application/wasm": "wasm",
  "application/x-gzip": "gz",
  "application/x-ndjson": "ndjson",
  "application/x-tar": "tar",
  "application/xhtml+xml": "html",
  "application/zip": "zip",
  "audio/mpeg": "mp3",
  "image/gif": "gif",
  "image/jpeg": "jpg",
  "image/png": "png",
  "image/svg+xml": "svg",
  "image/webp": "webp",
  "text/css": "css",
  "text/csv": "csv",
  "text/html": "html",
  "text/javascript": "js",
  "text/markdown": "md",
  "video/mp4": "mp4",
};

const isJson = ({ type }) => /^[^/]+\/(?:[^+]*\+)?json$/.test(type ?? "");

const isText = (type) =>
  /^text\/|[/+](?:json|xml|yaml)$/.test(type ?? "") ||
  /^application\/(?:x-)?(?:javascript|ecmascript|ndjson|jsonl|json-seq|toml|sql|graphql|sh|www-form-urlencoded)$/.test(
    type ?? "",
  );

/** Nothing is said of what it is. */
const isUnsaid = (type) => type === null || type === "application/octet-stream" || type === "binary/octet-stream";

/**
 * By a byte order mark, else the header's charset, else the document's own, else UTF-8. What the charset has no character for becomes
 * U+FFFD in what is said to be text; where nothing is said, it is none then.
 */
function textOf(bytes, { type, charset }) {
  if (!isText(type) && !isUnsaid(type)) return null;
  const decoder = decoderOf(marked(bytes) ?? charset ?? ownCharset(bytes, type), isUnsaid(type));
  try {
    const text = decoder.decode(bytes);
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}

function decoderOf(charset, fatal) {
  try {
    return new TextDecoder(charset ?? "utf-8", { fatal });
  } catch {
    return new TextDecoder("utf-8", { fatal });
  }
}

function marked([first, second, third]) {
  if (first === 0xef && second === 0xbb && third === 0xbf) return "utf-8";
  if (first === 0xff && second === 0xfe) return "utf-16le";
  if (first === 0xfe && second === 0xff) return "utf-16be";
  return null;
}

function ownCharset(bytes, type) {
  const begin = bytes.subarray(0, 1024).toString("latin1");
  if (type === "text/html") return /<meta[^>]{0,200}charset\s*=\s*["']?([\w-]+)/i.exec(begin)?.[1] ?? null;
  return /^<\?xml[^>]{0,200}encoding\s*=\s*["']([\w-]+)/.exec(begin)?.[1] ?? null;
}

/** Null for what is none, or would not be the same as a value: the text is kept then. */
function jsonOf(text) {
  try {
    const value = JSON.parse(text);
    return canBeHeld(value, maxDepth) ? { as: "json", value } : null;
  } catch {
    return null;
  }
}

/** Below what a value of a task may have, which this one is a part of. */
const maxDepth = 60;

/** A small body cannot have too many values. */
function canBeHeld(value, depth) {
  switch (typeof value) {
    case "string":
      return value.isWellFormed();
    case "number":
      return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
    case "object":
      if (value === null) return true;
      if (depth === 0) return false;
      return Object.entries(value).every(
        ([name, member]) => name !== "__proto__" && name.isWellFormed() && canBeHeld(member, depth - 1),
      );
    default:
      return true;
  }
}
