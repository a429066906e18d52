import type { Prewarm, SandboxCommand } from "../../ports/sandbox.ts";

/** The label in which an image says what to start in a sandbox before its task is known. */
export const prewarmLabel = "tool-executor.prewarm";

const maxMemoryMb = 4096;

/** What it may be, in words. */
export const prewarmWords = `JSON {"argv": [at least one text], "environment": [texts], "memory_mb": 1 to ${maxMemoryMb}}`;

/** What an image's label says; null for one that says nothing, or nothing that can be used. */
export function parsePrewarm(labels: Readonly<Record<string, string>>): Prewarm | null {
  const value = parsed(labels[prewarmLabel] ?? "");
  const { argv, environment, memory_mb: memoryMb } = value;
  const isWhole = isTexts(argv) && argv.length > 0 && isTexts(environment) && isMemory(memoryMb);
  return isWhole ? { argv, environment, memoryMb } : null;
}

function parsed(label: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(label);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string" && one !== "");

const isMemory = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value > 0 && value <= maxMemoryMb;

/** Whether a program that was started with `env` may become this command: nothing is different that it has read by now. */
export function fitsPrewarm(prewarm: Prewarm, env: Readonly<Record<string, string>>, command: SandboxCommand): boolean {
  if (command.argv[0] !== prewarm.argv[0]) return false;
  const isRead = readAtStart(prewarm);
  if ((command.secrets ?? []).some(({ name }) => isRead(name))) return false;
  const names = new Set([...Object.keys(env), ...Object.keys(command.env)]);
  return [...names].every((name) => !isRead(name) || env[name] === command.env[name]);
}

/** PATH says which program a name means. */
function readAtStart({ environment }: Prewarm): (name: string) => boolean {
  const whole = new Set(["PATH", ...environment]);
  const beginnings = environment.filter((one) => one.endsWith("*")).map((one) => one.slice(0, -1));
  return (name) => whole.has(name) || beginnings.some((beginning) => name.startsWith(beginning));
}
