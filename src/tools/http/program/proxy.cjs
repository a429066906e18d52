// The proxy at the sandbox's loopback, and its words for what it does not let through.
"use strict";

const { Refusal } = require("./refusal.cjs");
const { firstBytes } = require("./first-bytes.cjs");

/** Where the proxy for this URL listens. A task without one has no network at all. */
exports.proxyFor = ({ protocol }, place) => {
  const { env } = process;
  const text = protocol === "https:" ? env.HTTPS_PROXY || env.https_proxy : env.HTTP_PROXY || env.http_proxy;
  if (!text) {
    const rule = protocol === "https:" || place.endsWith(":80") ? place : `http://${place}`;
    throw new Refusal(`denied ${place}: this task has no network: add it to network.allow: "${rule}"`);
  }
  const url = URL.parse(text);
  if (url === null || url.protocol !== "http:") throw new Refusal("the variable for the proxy is no URL of http:");
  return { host: url.hostname, port: Number(url.port || 80) };
};

const maxWordsBytes = 4096;

/** What the proxy says to a CONNECT that it refuses. */
exports.proxyWords = async (socket, head) => {
  const pieces = [head];
  let bytes = head.length;
  for await (const piece of socket) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > maxWordsBytes) break;
  }
  return said(Buffer.concat(pieces).toString());
};

/** The proxy's words, where an answer to a plain request is its own; null where it is the host's, which has no such header, whatever the host sends. */
exports.refusedByProxy = async (answer) => {
  if (answer.headers["proxy-status"] === undefined) return null;
  return said((await firstBytes(answer)).subarray(0, maxWordsBytes).toString());
};

/** What is denied, and what would allow it. */
const said = (text) => text.trim().split("\n").join(": ") || "the proxy refused the request without a word";
