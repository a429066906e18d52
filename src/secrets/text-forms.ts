/** Text as programs write it inside quotes or markup, without the quotes around it. Some of these are the text itself. */
export function textForms(text: string): readonly string[] {
  return [...jsonForms(text), ...shellForms(text), ...markupForms(text)];
}

/** How a program writes a JSON string. */
interface JsonStyle {
  /** Characters that are written as `\uXXXX`, beside the controls. */
  readonly escapes: (char: string) => boolean;
  readonly digits: "lower" | "upper";
  /** `\/`. */
  readonly slash: boolean;
}

const isBeyondAscii = (char: string): boolean => char > "~";

const jsonEscapes: readonly JsonStyle["escapes"][] = [
  () => false, // JSON.stringify, jq
  isBeyondAscii, // Python
  (char) => "<>&\u2028\u2029".includes(char), // Go
  (char) => "<>&".includes(char) || isBeyondAscii(char), // Ruby on Rails, PHP with its flags
  (char) => "<>&'\"+`".includes(char) || isBeyondAscii(char), // .NET
];

/** Of a text with more characters than this, nobody writes every one as an escape (`\u0073\u0065…`). */
export const maxEscapedWhole = 1024;

function jsonForms(text: string): readonly string[] {
  const whole = text.length <= maxEscapedWhole ? [() => true] : [];
  const styles = [...jsonEscapes, ...whole].flatMap((escapes) =>
    (["lower", "upper"] as const).flatMap((digits) => [
      { escapes, digits, slash: false },
      { escapes, digits, slash: true },
    ]),
  );
  // JSON within JSON, as a line of a log often is.
  const twice = JSON.stringify(JSON.stringify(text).slice(1, -1)).slice(1, -1);
  return [...styles.map((style) => jsonString(text, style)), twice];
}

const jsonShort: Readonly<Record<string, string>> = {
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  '"': '\\"',
  "\\": "\\\\",
};

function jsonString(text: string, { escapes, digits, slash }: JsonStyle): string {
  const written = (unit: string): string => {
    if (escapes(unit)) return jsonUnicode(unit, digits);
    const short = jsonShort[unit];
    if (short !== undefined) return short;
    if (unit < " ") return jsonUnicode(unit, digits);
    return slash && unit === "/" ? "\\/" : unit;
  };
  // By UTF-16 unit, as JSON's escapes are.
  return text.split("").map(written).join("");
}

function jsonUnicode(char: string, digits: JsonStyle["digits"]): string {
  const hex = char.charCodeAt(0).toString(16).padStart(4, "0");
  return `\\u${digits === "upper" ? hex.toUpperCase() : hex}`;
}

/** Inside of `'…'` and `"…"`, with backslashes alone, and as languages show a string: bash's `$'…'`, Python, JavaScript. */
function shellForms(text: string): readonly string[] {
  return [
    text.replaceAll("'", "'\\''"),
    text.replaceAll("'", `'"'"'`),
    text.replaceAll(/[$`"\\]/g, "\\$&"),
    text.replaceAll(/[$`"\\!]/g, "\\$&"),
    // printf %q of bash; then whatever is no letter or digit, as quotemeta of Perl.
    text.replaceAll(/[ !"#$&'()*,;<>?[\\\]^`{|}~]/g, "\\$&"),
    text.replaceAll(/[\s\S]/g, (char) => (/\w/.test(char) || isBeyondAscii(char) ? char : `\\${char}`)),
    ...literalStyles.flatMap((style) => ["", "'"].map((quote) => literal(text, quote, style))),
  ];
}

/** How a string is shown as a literal. */
interface LiteralStyle {
  readonly short: Readonly<Record<string, string>>;
  /** One byte of what has no short name. */
  readonly byte: (byte: number) => string;
  /** Whether what is beyond ASCII is written so, too. */
  readonly isAscii: boolean;
}

const hexByte = (byte: number): string => byte.toString(16).padStart(2, "0");
const commonShort = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };
const jsShort = { ...commonShort, "\b": "\\b", "\f": "\\f", "\v": "\\v" };
const bashShort = { ...jsShort, "\u0007": "\\a", "\u001b": "\\E" };

const literalStyles: readonly LiteralStyle[] = [false, true].flatMap((isAscii) => [
  { short: bashShort, byte: (byte) => `\\${byte.toString(8).padStart(3, "0")}`, isAscii },
  { short: commonShort, byte: (byte) => `\\x${hexByte(byte)}`, isAscii },
  { short: jsShort, byte: (byte) => `\\x${hexByte(byte).toUpperCase()}`, isAscii },
]);

/** @param quote what is written with a backslash beside what must be; empty: nothing. */
function literal(text: string, quote: string, { short, byte, isAscii }: LiteralStyle): string {
  const written = (char: string): string => {
    if (char === quote) return `\\${char}`;
    const known = short[char];
    if (known !== undefined) return known;
    const isShown = char >= " " && char !== "\u007f" && !(isAscii && isBeyondAscii(char));
    return isShown ? char : [...Buffer.from(char)].map(byte).join("");
  };
  return [...text].map(written).join("");
}

/** HTML and XML, as text and as an attribute. */
function markupForms(text: string): readonly string[] {
  const inText = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const quoted = ["&quot;", "&#34;"].map((quote) => inText.replaceAll('"', quote));
  const apostrophes = ["&#39;", "&#x27;", "&apos;"];
  return [inText, ...quoted, ...quoted.flatMap((form) => apostrophes.map((each) => form.replaceAll("'", each)))];
}
