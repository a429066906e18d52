// The body of an answer: unpacked, bounded, and kept where it belongs.
"use strict";

const { closeSync, openSync, rmSync, writeSync } = require("node:fs");
const { join } = require("node:path");
const { pipeline } = require("node:stream");
const zlib = require("node:zlib");
const { contentOf, endingFor, mediaType } = require("./content.cjs");
const { firstBytes } = require("./first-bytes.cjs");
const { placeOf, Refusal, refusalFor } = require("./refusal.cjs");

const maxInlineBytes = 64 * 1024;
/** What unpacks to more than so many times its size was made to; a small body may be of one letter. */
const maxRatio = 200;
const ratioFromBytes = 1024 * 1024;

/** The part of the value that is about the body. A body that is refused leaves no file. */
exports.kept = async (answer, { asked, folder, maxBytes }, trip) => {
  const place = placeOf(asked.url);
  const media = mediaType(answer.headers["content-type"]);
  const file = fileIn(folder, () => `body.${endingFor(media, asked.url)}`);
  trip.leftBehind = file.remove;
  trip.at = `reading the body from ${place}`;
  const begin = [];
  let bytes = 0;
  let truncated = false;
  try {
    const unpacked = await unpacking(answer);
    for await (const piece of unpacked) {
      const fits = piece.subarray(0, maxBytes - bytes);
      truncated = fits.length < piece.length;
      bytes += fits.length;
      trip.at = `reading the body from ${place}, of which ${bytes} bytes had come`;
      refuseBomb(unpacked, bytes, place);
      if (file.isOpen()) file.write(fits);
      else begin.push(fits);
      if (bytes > maxInlineBytes && !file.isOpen()) file.write(Buffer.concat(begin));
      if (truncated) break;
    }
  } catch (error) {
    throw refusalFor(error, place);
  }
  if (bytes === 0) return bodyAs("none", null, null, 0, truncated);
  if (!file.isOpen()) {
    const whole = Buffer.concat(begin);
    const content = contentOf(whole, media);
    if (content !== null) return bodyAs(content.as, content.value, null, bytes, truncated);
    file.write(whole);
  }
  file.close();
  return bodyAs("artifact", null, file.name(), bytes, truncated);
};

const bodyAs = (as, body, artifact, bytes, truncated) => ({
  body_as: as,
  body,
  body_artifact: artifact,
  body_bytes: bytes,
  truncated,
});

/** A stream of the body without its content coding, where that is a known one; of others the bytes as they come. */
async function unpacking(answer) {
  const unpacker = unpackers[(answer.headers["content-encoding"] ?? "").trim().toLowerCase()];
  const first = await firstBytes(answer);
  if (unpacker === undefined || first.length === 0) return answer;
  const unpacked = unpacker(first);
  // What goes wrong with either ends the other, and whoever reads hears of it.
  pipeline(answer, unpacked, () => undefined);
  return unpacked;
}

const unpackers = {
  gzip: () => zlib.createGunzip(),
  "x-gzip": () => zlib.createGunzip(),
  br: () => zlib.createBrotliDecompress(),
  // Some send it without the frame that the name means.
  deflate: (first) => ((first[0] & 0x0f) === 8 ? zlib.createInflate() : zlib.createInflateRaw()),
};

function refuseBomb({ bytesWritten }, bytes, place) {
  if (bytesWritten === undefined || bytes <= ratioFromBytes || bytes <= bytesWritten * maxRatio) return;
  throw new Refusal(`the body from ${place} was refused: it unpacks to more than ${maxRatio} times its size`);
}

/** A file that is made when something is written. */
function fileIn(folder, nameOf) {
  let fd = null;
  const path = () => join(folder, nameOf());
  return {
    name: nameOf,
    isOpen: () => fd !== null,
    write(bytes) {
      fd ??= openSync(path(), "wx");
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    },
    close: () => closeSync(fd),
    remove() {
      if (fd !== null) rmSync(path(), { force: true });
    },
  };
}
