// One request and the beginning of its answer, through the proxy, over a connection of its own.
"use strict";

const { request } = require("node:http");
const { proxyFor, proxyWords, refusedByProxy } = require("./proxy.cjs");
const { placeOf, Refusal, refusalFor } = require("./refusal.cjs");

const maxHeadBytes = 64 * 1024;
/** Interim answers before the last. */
const maxInterim = 8;

/** The answer, its body unread. Throws a Refusal when there is none. */
exports.exchange = async (asked, trip) => {
  const { url } = asked;
  const place = placeOf(url);
  const proxy = proxyFor(url, place);
  try {
    trip.at = `connecting to ${place}`;
    if (url.protocol === "https:") {
      const socket = await secured(await tunnel(proxy, place), url.hostname);
      trip.at = `waiting for the answer of ${place}`;
      return await answerTo({ createConnection: () => socket, path: url.pathname + url.search }, asked, place);
    }
    trip.at = `waiting for the answer of ${place}`;
    const answer = await answerTo({ ...proxy, agent: false, path: url.href }, asked, place);
    const words = await refusedByProxy(answer);
    if (words !== null) throw new Refusal(words);
    return answer;
  } catch (error) {
    throw error.syscall === "connect" ? noWayOut(error) : refusalFor(error, place);
  }
};

/** Nothing but the proxy is connected to. */
const noWayOut = (error) =>
  new Refusal(`the sandbox's way out at ${error.address}:${error.port} does not answer (${error.code})`, {
    cause: error,
  });

/** A connection to the place, of which the proxy is out of the way. */
function tunnel(proxy, place) {
  const { promise, resolve, reject } = Promise.withResolvers();
  const outgoing = request({
    ...proxy,
    agent: false,
    method: "CONNECT",
    path: place,
    headers: { Host: place },
    setHost: false,
  });
  outgoing.once("connect", (answer, socket, head) => {
    socket.on("error", () => undefined);
    if (answer.statusCode === 200) resolve(socket);
    else proxyWords(socket, head).then((words) => reject(new Refusal(words)), reject);
  });
  outgoing.on("error", reject);
  outgoing.end();
  return promise;
}

function secured(socket, hostname) {
  // Loaded only by those who need it.
  const { connect } = require("node:tls");
  const { promise, resolve, reject } = Promise.withResolvers();
  const secure = connect({ socket, servername: hostname.replace(/\.$/, ""), ALPNProtocols: ["http/1.1"] });
  secure.once("secureConnect", () => resolve(secure));
  secure.on("error", reject);
  return promise;
}

function answerTo(way, { method, url, headers, body }, place) {
  const { promise, resolve, reject } = Promise.withResolvers();
  const outgoing = request({
    ...way,
    method,
    headers: { Host: url.host, ...headers, ...lengthOf(body), Connection: "close" },
    setHost: false,
    insecureHTTPParser: false,
    maxHeaderSize: maxHeadBytes,
  });
  // The bound is on bytes: headers beyond a count would be dropped without a word.
  outgoing.maxHeadersCount = 0;
  let interim = 0;
  outgoing.on("information", () => {
    interim += 1;
    if (interim > maxInterim) outgoing.destroy(new Refusal(`${place} sent more than ${maxInterim} interim answers`));
  });
  outgoing.once("upgrade", (_answer, socket) => {
    socket.destroy();
    reject(new Refusal(`${place} changed to another protocol, which nobody asked for`));
  });
  outgoing.once("response", (answer) => {
    // All of them, and the last, may come in one piece.
    if (interim > maxInterim) return;
    // What is found wrong behind its head is for whoever reads on, and may be found before anybody does.
    answer.on("error", () => undefined);
    outgoing.on("error", (error) => answer.destroy(error));
    const wrong = unclear(answer);
    if (wrong === null) resolve(answer);
    else reject(new Refusal(`the answer of ${place} ${wrong}`));
  });
  outgoing.on("error", reject);
  outgoing.once("close", () => reject(new Refusal(`${place} closed the connection without an answer`)));
  outgoing.end(body ?? undefined);
  return promise;
}

/** What the parser lets pass and is no answer. */
function unclear({ statusCode, headers }) {
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && coding.toLowerCase() !== "chunked") return "has a transfer coding other than chunked";
  return statusCode < 200 ? `is no valid HTTP: its status is ${statusCode}` : null;
}

const lengthOf = (body) => (body === null ? {} : { "Content-Length": Buffer.byteLength(body) });
