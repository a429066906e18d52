import { ExecutorError } from "../model/failure.ts";
import type { GivenSecret } from "../model/secret.ts";
import type { SandboxCommand } from "../ports/sandbox.ts";

/** What a sandbox is told at once has 256 KiB (docs/sandbox-protocol.md); the rest is for what is the same for every task. */
export const maxCommandBytes = 254 * 1024;

/** @throws ExecutorError validation, with how much each part takes, for more than a sandbox can be told. */
export function refuseLargeCommand({
  argv,
  env,
  cwd,
  secrets = [],
  out,
}: Pick<SandboxCommand, "argv" | "env" | "cwd" | "secrets" | "out">): void {
  const parts = {
    "program and arguments": jsonBytes(argv),
    variables: jsonBytes(env),
    secrets: secrets.reduce((sum, secret) => sum + wireBytes(secret), 0),
    "the operator's certificates": jsonBytes(out?.extraCa ?? ""),
    "folder and ports": jsonBytes([cwd, out?.listen ?? []]),
  };
  const bytes = Object.values(parts).reduce((sum, each) => sum + each, 0);
  if (bytes <= maxCommandBytes) return;
  const each = Object.entries(parts).map(([part, size]) => `${part} ${size}`);
  const message = `what the task is started with is ${bytes} bytes long as JSON, at most ${maxCommandBytes}: ${each.join(", ")}`;
  throw new ExecutorError("validation", message, {
    hint: "give the task what is large as a file, or on its standard input",
    details: [{ path: "/payload", message }],
  });
}

const jsonBytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

/** In base64, with its name and the way it is given. */
const wireBytes = ({ name, value }: GivenSecret): number => Math.ceil(value.length / 3) * 4 + name.length + 48;
