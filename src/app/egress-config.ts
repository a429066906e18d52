import { readFileSync } from "node:fs";
import { dnsResolve, tcpConnect } from "../adapters/net/dialing.ts";
import { dialer } from "../egress/dial.ts";
import type { Egress } from "../egress/egress.ts";
import { parseExceptions, type RangeException, type Rule } from "../egress/policy.ts";
import { defaultEgressCaps, type EgressCaps } from "../egress/proxy.ts";
import { parseTcpOffers } from "../egress/task-rules.ts";
import { ExecutorError } from "../model/failure.ts";
import { bytesPerMb } from "../model/limits.ts";
import { type Setting, settings } from "./config-schema.ts";

/** What tasks may reach beyond their sandboxes, and how. */
export interface EgressSettings {
  /** Empty: this machine's. */
  readonly dnsServers: readonly string[];
  readonly exceptions: readonly RangeException[];
  readonly tcp: readonly Rule[];
  readonly caps: EgressCaps;
  /** Empty: none. */
  readonly caFile: string;
}

/** The value of a setting, wherever it comes from. */
type ValueOf = <Value extends string | number>(setting: Setting<Value>) => Value;

/** @throws ExecutorError validation, naming the setting, each entry that is not allowed, and what is. */
export function egressSettings(value: ValueOf): EgressSettings {
  const exceptions = value(settings.egressExceptions).split(",").filter(isSomething);
  const tcp = value(settings.egressTcp).split(" ").filter(isSomething);
  return {
    dnsServers: value(settings.egressDnsServers).split(",").filter(isSomething),
    exceptions: parseExceptions(exceptions, settings.egressExceptions.name),
    tcp: parseTcpOffers(tcp, settings.egressTcp.name),
    caps: {
      ...defaultEgressCaps,
      maxConnections: value(settings.egressMaxConnections),
      maxBytes: value(settings.egressMaxMb) * bytesPerMb,
      idleMs: value(settings.egressIdleSeconds) * 1000,
    },
    caFile: value(settings.egressCaFile),
  };
}

const isSomething = (text: string): boolean => text !== "";

/** For a name, and for each address that is tried. */
const resolveMs = 5_000;
const connectMs = 10_000;
/** It is told with the task's command, and needs room beside it. */
const maxCaBytes = 128 * 1024;

/**
 * @param record hears of each decision; if it throws, the task's way out is closed.
 * @throws ExecutorError validation, for certificates that cannot be read or are none.
 */
export function openEgress(
  { dnsServers, exceptions, tcp, caps, caFile }: EgressSettings,
  record: Egress["record"],
): Egress {
  const resolve = dnsResolve(dnsServers);
  return {
    tcp,
    caps,
    dial: dialer({ resolve, connect: tcpConnect, exceptions, resolveMs, connectMs }),
    extraCa: caFile === "" ? "" : certificates(caFile),
    record,
  };
}

function certificates(path: string): string {
  const { name } = settings.egressCaFile;
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new ExecutorError("validation", `${name}: ${path} cannot be read`, { cause });
  }
  if (text.includes("PRIVATE KEY"))
    throw new ExecutorError("validation", `${name}: ${path} holds a private key, must hold certificates only`);
  if (!text.includes("-----BEGIN CERTIFICATE-----") || text.length > maxCaBytes)
    throw new ExecutorError("validation", `${name}: ${path} must hold certificates (PEM), at most ${maxCaBytes} bytes`);
  return text.endsWith("\n") ? text : `${text}\n`;
}
