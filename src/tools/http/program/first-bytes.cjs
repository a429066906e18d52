"use strict";

const { once } = require("node:events");

/** The bytes that a stream begins with, as many as come first; empty where there are none. They stay in the stream. */
exports.firstBytes = async (stream) => {
  for (;;) {
    const bytes = stream.read();
    if (bytes !== null) {
      stream.unshift(bytes);
      return bytes;
    }
    if (stream.readableEnded || stream.destroyed) return Buffer.alloc(0);
    const waited = new AbortController();
    const { signal } = waited;
    await Promise.race(["readable", "end", "close"].map((name) => once(stream, name, { signal }).catch(ifNotAborted)));
    waited.abort();
  }
};

function ifNotAborted(error) {
  if (error.name !== "AbortError") throw error;
}
