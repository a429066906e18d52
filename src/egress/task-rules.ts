import { ExecutorError } from "../model/failure.ts";
import { quoted } from "../model/quoted.ts";
import { parseRules, type Rule } from "./policy.ts";

/** Where `network.allow` stands in a request. */
export const allowPath = "/network/allow";

/** The ports of a task's loopback that lead to the proxy. */
export const httpProxyPort = 3128;
export const socksProxyPort = 1080;
/** The port of it that leads to services of the host. */
export const callsPort = 3129;

const ownPorts: readonly number[] = [httpProxyPort, socksProxyPort, callsPort];

/**
 * What a task may reach, by its request. `tcp://HOST:PORT` is one of the operator's or refused.
 * @throws ExecutorError validation | policy_denied, with a detail for each entry that is none.
 */
export function taskRules(allow: readonly string[], operatorTcp: readonly Rule[]): readonly Rule[] {
  const [forwards, others] = [allow.filter(isTcp), allow.filter((text) => !isTcp(text))];
  const rules = [...parseRules(others, { author: "task", at: allowPath }), ...forwardRules(forwards, operatorTcp)];
  const ports = rules.filter(({ mode }) => mode === "tcp").flatMap(({ ports }) => ports);
  const twice = ports.find((port, index) => ports.indexOf(port) < index);
  if (twice !== undefined) throw refused("validation", `two hosts are asked for at the loopback port ${twice}`);
  return rules;
}

const isTcp = (text: string): boolean => text.startsWith("tcp://");

function forwardRules(asked: readonly string[], operatorTcp: readonly Rule[]): readonly Rule[] {
  const allowed = operatorTcp.map(({ text }) => text).join(", ") || "none here";
  return parseRules(asked, { author: "operator", at: allowPath }).map((rule) => {
    const isOffered = operatorTcp.some(
      ({ name, isWildcard, ports }) =>
        name === rule.name && isWildcard === rule.isWildcard && rule.ports.every((port) => ports.includes(port)),
    );
    if (isOffered) return rule;
    throw refused("policy_denied", `${quoted(rule.text)} is not allowed; allowed of tcp://: ${allowed}`);
  });
}

const refused = (code: "validation" | "policy_denied", message: string): ExecutorError =>
  new ExecutorError(code, `${allowPath}: ${message}`, {
    hint: "an operator offers hosts in EGRESS_TCP; each gets the same port on the task's own loopback",
    details: [{ path: allowPath, message }],
  });

/**
 * An operator's hosts for bytes of any kind, as `tcp://HOST:PORT`.
 * @throws ExecutorError validation, for what is none, a wildcard, or a port that is ours.
 */
export function parseTcpOffers(texts: readonly string[], at: string): readonly Rule[] {
  const rules = parseRules(texts, { author: "operator", at });
  const bad = rules.find(
    ({ mode, isWildcard, ports }) => mode !== "tcp" || isWildcard || ports.some((port) => ownPorts.includes(port)),
  );
  if (bad === undefined) return rules;
  const message = `${at}: ${quoted(bad.text)} must be tcp://HOST:PORT, of one host, and no port ${ownPorts.join(", ")}`;
  throw new ExecutorError("validation", message);
}
