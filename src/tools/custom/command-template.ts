import { ExecutorError, type FailureDetail } from "../../model/failure.ts";
import { nearest } from "../../model/nearest.ts";
import { quoted } from "../../model/quoted.ts";
import type { JsonObject, JsonValue } from "../../model/task.ts";

const placeholder = /\{\{payload\.([A-Za-z_][A-Za-z0-9_]*)\}\}/g;

/** Programs that take a program's text as an argument, and the flags that say so. */
const interpreters: ReadonlySet<string> = new Set([
  "sh",
  "bash",
  "dash",
  "ash",
  "ksh",
  "zsh",
  "python",
  "python3",
  "node",
  "perl",
  "ruby",
  "php",
]);
const codeFlag = /^(?:-[A-Za-z]*[cep]|--eval|--print)$/;

/**
 * What is wrong with a `command` for payloads of this schema: a placeholder that is none, or names a field there is not; one in
 * the place of the program, or inside a program's text, where its value would be read as code.
 */
export function commandProblems(command: readonly string[], inputSchema: JsonObject): readonly FailureDetail[] {
  const { properties } = inputSchema;
  const fields = typeof properties === "object" && properties !== null ? Object.keys(properties) : [];
  return command.flatMap((item, index): readonly FailureDetail[] => {
    const why = itemProblem(command, item, index, fields);
    return why === null ? [] : [{ path: `/command/${index}`, message: `command[${index}] is ${quoted(item)}, ${why}` }];
  });
}

function itemProblem(
  command: readonly string[],
  item: string,
  index: number,
  fields: readonly string[],
): string | null {
  if (item.replaceAll(placeholder, "").includes("{{"))
    return "what stands in {{ }} must be payload.FIELD; for {{ itself put the command into a script in files/";
  const names = fieldsIn(item);
  if (names.length === 0) return null;
  if (index === 0) return "the program cannot come from the payload";
  const unknown = names.find((name) => !fields.includes(name));
  if (unknown !== undefined) {
    const meant = nearest(unknown, fields);
    const hint = meant === null ? "" : `, did you mean ${meant}?`;
    return `input_schema.properties has no ${unknown}${hint}`;
  }
  const isCode =
    codeFlag.test(command[index - 1] ?? "") &&
    command.slice(0, index).some((earlier) => interpreters.has(earlier.split("/").at(-1) ?? ""));
  return isCode ? "the payload would be read as code; give it as an argument after the code ($1, argv)" : null;
}

/**
 * The arguments of one call. An item with a field that is absent or null is left out; one with a list becomes as many arguments
 * as the list has items. Nothing is split, and nothing is read by a shell.
 * @throws ExecutorError validation, with the field's pointer, for a value that cannot be an argument.
 */
export function argvFor(command: readonly string[], payload: JsonObject): readonly string[] {
  const argv = command.flatMap((item) => argumentsOf(item, payload));
  if (argv.length > maxArguments) throw refused("", `payload makes ${argv.length} arguments, at most ${maxArguments}`);
  return argv;
}

/** As many as a `shell` call may have; the kernel's own limit is on their bytes. */
const maxArguments = 1000;
const maxArgumentBytes = 131_071;

function argumentsOf(item: string, payload: JsonObject): readonly string[] {
  const names = fieldsIn(item);
  const values = names.map((name) => (Object.hasOwn(payload, name) ? (payload[name] ?? null) : null));
  if (values.includes(null)) return [];
  const [first = null] = values;
  if (values.length === 1 && isList(first))
    return first.map((each, at) => filled(item, [asText(`${names[0]}/${at}`, each)]));
  return [
    filled(
      item,
      values.map((value, at) => asText(names[at] ?? "", value)),
    ),
  ];
}

function filled(item: string, texts: readonly string[]): string {
  let at = 0;
  const argument = item.replaceAll(placeholder, () => texts[at++] ?? "");
  const bytes = Buffer.byteLength(argument);
  if (bytes > maxArgumentBytes) {
    const [name = ""] = fieldsIn(item);
    throw refused(`/${name}`, `payload.${name} makes an argument of ${bytes} bytes, at most ${maxArgumentBytes}`);
  }
  return argument;
}

function asText(pointer: string, value: JsonValue): string {
  const path = `payload.${pointer.replace("/", "[")}${pointer.includes("/") ? "]" : ""}`;
  if (value === null || typeof value === "object")
    throw refused(`/${pointer}`, `${path} is no text, number or truth value, so it can be no argument of the command`);
  const text = String(value);
  if (text.includes("\0")) throw refused(`/${pointer}`, `${path} must not hold a NUL character`);
  return text;
}

const fieldsIn = (item: string): readonly string[] => [...item.matchAll(placeholder)].map(([, name = ""]) => name);

const isList = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value);

const refused = (pointer: string, message: string): ExecutorError =>
  new ExecutorError("validation", message, { details: [{ path: `/payload${pointer}`, message }] });
