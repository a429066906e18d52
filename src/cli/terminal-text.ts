import { StringDecoder } from "node:string_decoder";

/** Turns a task's bytes into text that cannot steer a terminal. */
export interface TerminalText {
  write(bytes: Buffer): string;
  /** What was held back, and the colour put back if the task changed it. */
  end(): string;
}

// Colour (SGR) is all that passes of the escape sequences; line feed and tab of the control characters. Marks that override the reading
// direction show a line other than it is; those that only say how a neutral character is read may pass.
const steering = /\x1b\[[0-9;:]*m|\r\n|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
// A sequence that may go on in the next piece.
const unfinished = /(?:\x1b(?:\[[0-9;:]{0,64})?|\r)$/;

/** Everything else that would move the cursor, set a title, open a link or ask the terminal a question is shown as `\x1b`. */
export function terminalText(): TerminalText {
  const decoder = new StringDecoder("utf8");
  let held = "";
  let coloured = false;
  const inert = (text: string): string =>
    text.replace(steering, (found) => {
      if (found === "\r\n") return "\n";
      if (found.length === 1) return visible(found);
      coloured = true;
      return found;
    });
  return {
    write(bytes) {
      const text = held + decoder.write(bytes);
      held = unfinished.exec(text)?.[0] ?? "";
      return inert(text.slice(0, text.length - held.length));
    },
    end() {
      const last = inert(held + decoder.end());
      held = "";
      return coloured ? `${last}\x1b[0m` : last;
    },
  };
}

/** A name for one line of a terminal: control characters and those that turn the reading direction are made visible. */
export function terminalName(name: string): string {
  return name.replace(/[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, visible);
}

function visible(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}
