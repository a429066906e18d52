import { readFileSync } from "node:fs";
import { type CallbackHost, parseCallbackHosts } from "../model/callback-hosts.ts";
import { ExecutorError } from "../model/failure.ts";
import { parseCallbackSecrets } from "../schema/callback-signature.ts";
import { type Setting, settings } from "./config-schema.ts";

/** Who may be called back, and how. Holds a secret. */
export interface CallbackSettings {
  /** None: nobody is called back. */
  readonly hosts: readonly CallbackHost[];
  /** Empty where a file has it. */
  readonly secret: string;
  readonly secretFile: string;
  readonly maxTries: number;
}

/** The value of a setting, wherever it comes from. */
type ValueOf = <Value extends string | number>(setting: Setting<Value>) => Value;

/** @throws ExecutorError validation, for settings that do not go together. */
export function callbackSettings(value: ValueOf): CallbackSettings {
  const found: CallbackSettings = {
    hosts: parseCallbackHosts(value(settings.callbackHosts)) ?? [],
    secret: value(settings.callbackSecret),
    secretFile: value(settings.callbackSecretFile),
    maxTries: value(settings.callbackTries),
  };
  const [hosts, secret, file] = [
    settings.callbackHosts.name,
    settings.callbackSecret.name,
    settings.callbackSecretFile.name,
  ];
  if (found.secret !== "" && found.secretFile !== "")
    throw new ExecutorError("validation", `${secret} and ${file} are both set, must be one of them`);
  if (found.hosts.length > 0 && found.secret === "" && found.secretFile === "")
    throw new ExecutorError("validation", `${hosts} is set, but neither ${secret} nor ${file} is`, {
      hint: 'make one: echo "whsec_$(head -c 32 /dev/urandom | base64)"',
    });
  return found;
}

/** @throws ExecutorError validation, for a file that cannot be read or holds something else; never with what it holds. */
export function callbackSecrets({ secret, secretFile }: CallbackSettings): readonly Buffer[] {
  const found = parseCallbackSecrets(secret === "" ? fileText(secretFile) : secret);
  if (found !== null) return found;
  const { allowed } = settings.callbackSecret;
  throw new ExecutorError("validation", `${settings.callbackSecretFile.name}: ${secretFile} must hold ${allowed}`);
}

function fileText(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (cause) {
    throw new ExecutorError("validation", `${settings.callbackSecretFile.name}: ${path} cannot be read`, { cause });
  }
}
