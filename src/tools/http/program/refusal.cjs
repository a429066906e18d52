// Why a request came to nothing, in words for whoever asked.
"use strict";

/** All that is no answer. Its message names hosts and paths, but no query, header or body, which may hold secrets. */
exports.Refusal = class Refusal extends Error {};

const maxLineCharacters = 1000;

/** Texts of others may be in it: nothing that moves a cursor or reorders the line stays. */
exports.oneLine = (text) =>
  text
    .slice(0, maxLineCharacters)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
    .trim();

/** `host:port`, as network.allow names it. */
exports.placeOf = ({ hostname, port, protocol }) => `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;

/** The refusal that an error of Node's means; others are given back as they are. */
exports.refusalFor = (error, place) => {
  const words = wordsFor(error, place);
  return words === null ? error : new exports.Refusal(words, { cause: error });
};

function wordsFor(error, place) {
  const code = String(error.code ?? "");
  const trust = certificates[code];
  if (trust !== undefined) return `the certificate of ${place} ${trust}`;
  if (code === "HPE_HEADER_OVERFLOW") return `the answer of ${place} has headers of more than 64 KiB`;
  if (code.startsWith("HPE_")) return `the answer of ${place} is no valid HTTP: ${error.reason ?? code}`;
  if (code.startsWith("ERR_SSL_") || code.startsWith("ERR_TLS_") || code === "EPROTO")
    return `TLS with ${place} failed: ${error.reason ?? code}`;
  if (code.startsWith("Z_") || code.startsWith("ERR_BROTLI") || code.startsWith("ERR__ERROR"))
    return `the body from ${place} is not what its content-encoding says (${code})`;
  if (code === "ENOSPC" || code === "EDQUOT") return "there is no room for the body in /output: raise limits.output_mb";
  if (cut.has(code)) return `the connection to ${place} was closed before the answer was whole`;
  return code === "" ? null : `the request to ${place} failed (${code})`;
}

const cut = new Set(["ECONNRESET", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE", "ETIMEDOUT"]);

const unknownSigner = "is signed by nobody that the sandbox trusts";

/** As OpenSSL names what it finds. */
const certificates = {
  CERT_HAS_EXPIRED: "has expired",
  CERT_NOT_YET_VALID: "is not valid yet",
  CERT_REVOKED: "was revoked",
  CERT_UNTRUSTED: "is not trusted",
  CERT_SIGNATURE_FAILURE: "has a signature that is not right",
  DEPTH_ZERO_SELF_SIGNED_CERT: "is signed by itself, and the sandbox does not trust it",
  SELF_SIGNED_CERT_IN_CHAIN: unknownSigner,
  UNABLE_TO_GET_ISSUER_CERT: unknownSigner,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownSigner,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownSigner,
  INVALID_CA: unknownSigner,
  INVALID_PURPOSE: "is not for servers",
  ERR_TLS_CERT_ALTNAME_INVALID: "is for other names",
  HOSTNAME_MISMATCH: "is for other names",
};
