import { type AddressRange, addressRange } from "../model/address.ts";
import { ExecutorError, type FailureDetail } from "../model/failure.ts";
import { canBeExcepted, judgeAddress } from "../model/judged-address.ts";
import { quoted } from "../model/quoted.ts";
import { type Host, hostOf, portOf } from "./host.ts";
import { type IsPublicSuffix, knownSuffix } from "./public-suffix.ts";

/**
 * How what goes there is looked at. `tls`: the server's name in the hello must be the host; what is inside is out of sight. `http`: each
 * request is judged. `tcp`: bytes, for an operator's rules only.
 */
export type RuleMode = "tls" | "http" | "tcp";

export interface Rule {
  /** As it was named. */
  readonly text: string;
  readonly mode: RuleMode;
  /** Without `*.`. */
  readonly name: string;
  /** Every name below `name`, at any depth, and not `name` itself. */
  readonly isWildcard: boolean;
  readonly ports: readonly number[];
}

/** An operator's leave for one name and port to lead into a range that is closed otherwise. */
export interface RangeException {
  readonly name: string;
  readonly port: number;
  readonly range: AddressRange;
  readonly rangeText: string;
}

export interface EgressPolicy {
  readonly rules: readonly Rule[];
  readonly exceptions: readonly RangeException[];
}

export type Decision =
  | { readonly kind: "allowed"; readonly rule: Rule; readonly name: string }
  /** `why` is whole by itself; `hint` is what would allow it, where anything would. */
  | { readonly kind: "denied"; readonly why: string; readonly hint: string | null };

/** Whether a task may go there, and by which rule. Where several have the host, the closest counts. */
export function decide(rules: readonly Rule[], host: Host, port: number): Decision {
  switch (host.kind) {
    case "refused":
      return { kind: "denied", why: `denied: the host ${host.why}`, hint: null };
    case "address":
      return {
        kind: "denied",
        why: `denied ${placeText(host.address, port)}: it is an address`,
        hint: "call a host by its name, and add that to network.allow",
      };
    case "name": {
      const rule = rules.reduce<Rule | null>((best, each) => {
        if (!hasPlace(each, host.name, port)) return best;
        return best === null || closeness(each) > closeness(best) ? each : best;
      }, null);
      if (rule !== null) return { kind: "allowed", rule, name: host.name };
      const place = placeText(host.name, port);
      return { kind: "denied", why: `denied ${place}`, hint: `add it to network.allow: ${quoted(place, 280)}` };
    }
  }
}

/** How a host and port are named in messages. */
export const placeText = (host: string, port: number): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

/** Whose rules they are: an operator's may be `tcp`, and name ports of any number. */
export type RuleAuthor = "task" | "operator";

export interface RuleSource {
  readonly author: RuleAuthor;
  /** JSON pointer of the list, or a setting's name. */
  readonly at: string;
  readonly isPublicSuffix?: IsPublicSuffix;
}

/**
 * Rules as `network.allow` names them: `[tls://|http://|tcp://]HOST[:PORT[,PORT…]]`, `HOST` a name or `*.DOMAIN`. Without a port it is
 * 443, of `http://` 80. Without a mode it is `http` for port 80 alone and `tls` for all others.
 * @throws ExecutorError validation for what is no rule, policy_denied for one that nobody (or no task) may have; a detail for each.
 */
export function parseRules(texts: readonly string[], source: RuleSource): readonly Rule[] {
  if (texts.length > maxRules)
    throw new ExecutorError("validation", `${source.at} has ${texts.length} entries, at most ${maxRules}`);
  const rules: Rule[] = [];
  const problems: Problem[] = [];
  for (const [index, text] of texts.entries()) {
    const parsed = parseRule(text, source);
    if ("code" in parsed) problems.push({ ...parsed, index });
    else rules.push(parsed);
  }
  problems.push(...contradictions(rules));
  if (problems.length > 0) throw refusal(problems, source.at);
  return rules;
}

/**
 * Exceptions as an operator names them: `HOST:PORT=ADDRESS/LENGTH`, an exact host, one port. A range may have metadata within, which stays
 * closed; one that can open nothing is refused.
 * @throws ExecutorError validation, with a detail for each that is none.
 */
export function parseExceptions(texts: readonly string[], at: string): readonly RangeException[] {
  const exceptions: RangeException[] = [];
  const problems: Problem[] = [];
  for (const [index, text] of texts.entries()) {
    const parsed = parseException(text);
    if (typeof parsed === "string") problems.push({ code: "validation", message: parsed, index });
    else exceptions.push(parsed);
  }
  if (problems.length > 0) throw refusal(problems, at);
  return exceptions;
}

/** Whether an address that a name resolves to may be dialled for it. */
export function mayDial(name: string, port: number, address: string, exceptions: readonly RangeException[]): boolean {
  const judged = judgeAddress(address);
  if (judged === null) return false;
  if (judged.kind === "public") return true;
  // SAFETY: what no exception may open is asked first, whatever a range says (docs/security.md#egress).
  if (!canBeExcepted(judged)) return false;
  return exceptions.some((each) => each.name === name && each.port === port && each.range.has(address));
}

const maxRules = 256;
const maxPorts = 16;
const maxRuleChars = 300;

interface Problem {
  readonly code: "validation" | "policy_denied";
  readonly message: string;
  readonly index?: number;
}

const hasPlace = ({ name, isWildcard, ports }: Rule, host: string, port: number): boolean =>
  ports.includes(port) && (isWildcard ? host.endsWith(`.${name}`) : host === name);

/** An exact host before any wildcard, a longer wildcard before a shorter one. */
const closeness = ({ name, isWildcard }: Rule): number => (isWildcard ? name.length : Number.POSITIVE_INFINITY);

function parseRule(text: string, { author, isPublicSuffix = knownSuffix }: RuleSource): Rule | Problem {
  const bad = (why: string): Problem => ({ code: "validation", message: `${quoted(text)} ${why}` });
  const denied = (why: string): Problem => ({ code: "policy_denied", message: `${quoted(text)} ${why}` });
  if (text.length > maxRuleChars) return bad(`is longer than ${maxRuleChars} characters`);
  const [, scheme, place = ""] = /^(?:([a-z]+):\/\/)?(.*)$/s.exec(text) ?? [];
  const asked = scheme === undefined ? null : modes[scheme];
  if (asked === undefined) return bad("has an unknown mode; allowed: tls://, http://");
  if (asked === "tcp" && author === "task") return denied("is of the mode tcp, which only an operator may give");
  const [, pattern = "", listed] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(place) ?? [];
  const ports = listed === undefined ? [asked === "http" ? 80 : 443] : portsOf(listed);
  if (asked === "tcp" && listed === undefined) return bad("is of the mode tcp and names no port");
  if (ports === null) return bad(`must be HOST[:PORT[,PORT…]], with 1 to ${maxPorts} ports from 1 to 65535`);
  if (pattern === "*" || pattern === "") return denied("allows every host, or none; allowed: a host, or *.DOMAIN");
  const isWildcard = pattern.startsWith("*.");
  const host = hostOf(isWildcard ? pattern.slice(2) : pattern);
  if (host.kind === "address") return denied("is an address; allowed: a name, or *.DOMAIN");
  if (host.kind === "refused") return bad(`is no host: it ${host.why}; allowed: a name, or *.DOMAIN`);
  if (isWildcard && isPublicSuffix(host.name))
    return denied("allows what anybody may register; allowed: *.DOMAIN of one owner");
  return {
    text,
    mode: asked ?? (ports.every((port) => port === 80) ? "http" : "tls"),
    name: host.name,
    isWildcard,
    ports,
  };
}

const modes: Readonly<Record<string, RuleMode>> = Object.assign(Object.create(null), {
  tls: "tls",
  https: "tls",
  http: "http",
  tcp: "tcp",
} satisfies Record<string, RuleMode>);

function portsOf(text: string): readonly number[] | null {
  const ports = text.split(",", maxPorts + 1).map(portOf);
  if (ports.length > maxPorts || !ports.every((port) => port !== null)) return null;
  return [...new Set(ports)];
}

/** Of two rules for one place the stricter could not be told. */
function contradictions(rules: readonly Rule[]): readonly Problem[] {
  const seen = new Map<string, Rule>();
  return rules.flatMap((rule) =>
    rule.ports.flatMap((port) => {
      const key = `${rule.isWildcard ? "*." : ""}${rule.name}:${port}`;
      const other = seen.get(key) ?? rule;
      seen.set(key, other);
      if (other.mode === rule.mode) return [];
      const message = `${quoted(other.text)} and ${quoted(rule.text)} give ${key} two modes, ${other.mode} and ${rule.mode}`;
      return [{ code: "validation" as const, message }];
    }),
  );
}

function parseException(text: string): RangeException | string {
  const [place = "", rangeText = "", ...rest] = text.split("=");
  const match = /^([^:]+):([^:]+)$/.exec(place);
  const range = addressRange(rangeText);
  const port = portOf(match?.[2] ?? "");
  if (match === null || port === null || range === null || rest.length > 0)
    return `${quoted(text)} must be HOST:PORT=ADDRESS/LENGTH`;
  const host = hostOf(match[1] ?? "");
  if (host.kind !== "name") return `${quoted(text)} is for no name: it needs an exact host`;
  const judged = judgeAddress(rangeText.split("/")[0] ?? "");
  const isWhole = rangeText.endsWith("/0");
  if (judged === null || !(isWhole || judged.kind === "public" || canBeExcepted(judged)))
    return `${quoted(text)} is for ${judged?.kind ?? "unknown"} addresses, which nothing opens`;
  return { name: host.name, port, range, rangeText };
}

function refusal(problems: readonly Problem[], at: string): ExecutorError {
  const details: readonly FailureDetail[] = problems.map(({ message, index }) => ({
    path: index === undefined ? at : `${at}/${index}`,
    message,
  }));
  const code = problems.some((each) => each.code === "validation") ? "validation" : "policy_denied";
  const more = details.length > 1 ? ` (and ${details.length - 1} more)` : "";
  return new ExecutorError(code, `${at}: ${details[0]?.message}${more}`, { details: details.slice(0, 20) });
}
