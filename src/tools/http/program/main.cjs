// Sends the request of request.json through the sandbox's proxy, and leaves the answer in /output: result.json, and the body where it
// is large or binary. What is no answer is one line on stderr, status 1, and nothing in /output.
"use strict";

const { readFileSync, writeFileSync, writeSync } = require("node:fs");
const { join } = require("node:path");
const { kept } = require("./body.cjs");
const { follow } = require("./follow.cjs");
const { Refusal, oneLine } = require("./refusal.cjs");
const { shownHeaders } = require("./headers.cjs");

const { totalMs, maxBodyBytes, url, ...rest } = JSON.parse(readFileSync(join(__dirname, "request.json"), "utf8"));
const folder = process.env.TOOL_OUTPUT_DIR;
/** What is being waited for, should the time be over. */
const trip = { at: "starting", leftBehind: () => undefined };

setTimeout(() => {
  refuse(new Refusal(`it was not done within ${totalMs / 1000} s, while ${trip.at}: raise limits.timeout_seconds`));
}, totalMs - performance.now());
answer().then(leave, refuse);

async function answer() {
  const startedMs = performance.now();
  const { asked, answer, redirects, dropped } = await follow({ ...rest, url: new URL(url) }, trip);
  const body = await kept(answer, { asked, folder, maxBytes: maxBodyBytes }, trip);
  return {
    status: answer.statusCode,
    url: asked.url.href,
    redirects,
    dropped_headers: dropped,
    headers: shownHeaders(answer.rawHeaders),
    content_type: answer.headers["content-type"] ?? null,
    ...body,
    duration_ms: Math.round(performance.now() - startedMs),
  };
}

function leave(value) {
  try {
    writeFileSync(join(folder, "result.json"), JSON.stringify(value));
  } catch (error) {
    refuse(new Refusal(`the answer could not be written to /output (${error.code}): raise limits.output_mb`));
  }
  process.exit(0);
}

function refuse(error) {
  trip.leftBehind();
  // Anything else is a fault of ours, and shows where it is.
  if (!(error instanceof Refusal)) throw error;
  writeSync(2, `http: ${oneLine(error.message)}\n`);
  process.exit(1);
}
