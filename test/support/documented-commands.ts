import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { checkout } from "./cli.ts";

/** The blocks of shell commands below a heading of a document, up to the next heading. */
export async function documentedCommands(document: string, heading: string): Promise<readonly string[]> {
  const text = await readFile(join(checkout, document), "utf8");
  const [, behind] = text.split(new RegExp(`^#+ ${heading}$`, "m"));
  if (behind === undefined) throw new Error(`${document} has no heading "${heading}"`);
  const [section = ""] = behind.split(/^#+ /m);
  return [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, commands = ""]) => commands);
}
