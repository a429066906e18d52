// The request and the redirects behind it. Each is a request of its own through the proxy, which judges it by itself.
"use strict";

const { exchange } = require("./exchange.cjs");
const { asText, withoutBody, withoutCredentials } = require("./headers.cjs");
const { placeOf, Refusal } = require("./refusal.cjs");

const maxRedirects = 10;
const maxUrlCharacters = 8192;

/** The last answer with its body unread, the request it is for, and what came before. */
exports.follow = async (first, trip) => {
  const redirects = [];
  const dropped = new Set();
  let asked = first;
  for (;;) {
    const answer = await exchange(asked, trip).catch((error) => {
      throw led(redirects, error);
    });
    const to = answer.headers.location;
    if (to === undefined || !leads.has(answer.statusCode)) return { asked, answer, redirects, dropped: [...dropped] };
    answer.destroy();
    if (redirects.length === maxRedirects)
      throw new Refusal(`there were more than ${maxRedirects} redirects, the last from ${placeOf(asked.url)}`);
    redirects.push({ status: answer.statusCode, url: asked.url.href });
    const next = nextRequest(asked, answer.statusCode, target(asked.url, asText(to)));
    for (const name of next.dropped) dropped.add(name);
    asked = next.asked;
  }
};

const leads = new Set([301, 302, 303, 307, 308]);

function led(redirects, error) {
  const last = redirects.at(-1);
  if (last === undefined || !(error instanceof Refusal)) return error;
  return new Refusal(`redirected by ${placeOf(new URL(last.url))}: ${error.message}`, { cause: error });
}

function target(from, text) {
  const refused = (why) => new Refusal(`redirected by ${placeOf(from)}: ${why}`);
  const to = URL.parse(text, from);
  if (to === null) throw refused("the header location is no URL");
  if (to.protocol !== "http:" && to.protocol !== "https:")
    throw refused(`refused a URL of ${to.protocol}; only http: and https: are followed`);
  if (to.username !== "" || to.password !== "") throw refused("refused a URL with a user before its host");
  to.hash = "";
  if (to.href.length > maxUrlCharacters) throw refused(`refused a URL longer than ${maxUrlCharacters} characters`);
  if (from.protocol === "https:" && to.protocol === "http:")
    throw refused(`refused to go on from https: to http://${to.host}, where everybody on the way could read along`);
  return to;
}

function nextRequest(asked, status, url) {
  const keepsBody = status === 307 || status === 308;
  const kept = keepsBody ? asked : { ...asked, ...asReading(asked) };
  if (url.origin === asked.url.origin) return { asked: { ...kept, url }, dropped: [] };
  const { headers, dropped } = withoutCredentials(kept.headers);
  return { asked: { ...kept, url, headers }, dropped };
}

const asReading = ({ method, headers }) => ({
  method: method === "HEAD" ? "HEAD" : "GET",
  headers: withoutBody(headers),
  body: null,
});
