/** A text under one heading, without what is under the headings below it. */
export interface Part {
  /** From the outermost; the document's title is none of them. */
  readonly headings: readonly string[];
  /** Of its first line, from 1. */
  readonly line: number;
  readonly lines: readonly string[];
}

export interface Outline {
  /** Null: it has none of its own. */
  readonly title: string | null;
  readonly parts: readonly Part[];
}

/** Plain text is one part. */
export const textOutline = (text: string): Outline => ({
  title: null,
  parts: [{ headings: [], line: 1, lines: text.split("\n") }],
});

/**
 * Markdown by its headings: `#`, underlined ones and those of HTML; what is fenced is code. Its title is the first heading of level 1, or what
 * the front matter says.
 */
export function markdownOutline(text: string): Outline {
  const all = text.split("\n");
  const front = frontMatter(all);
  const open: Heading[] = [];
  const parts: { headings: readonly Heading[]; line: number; lines: string[] }[] = [];
  let title: Heading | null = null;
  let fence: string | null = null;
  const begin = (line: number): string[] => {
    const lines: string[] = [];
    parts.push({ headings: [...open], line, lines });
    return lines;
  };
  let lines = begin(front.length + 1);
  for (const [index, line] of all.entries()) {
    if (index < front.length) continue;
    fence = fenceAfter(line, fence);
    const heading = fence === null ? headingOf(line, lines) : null;
    if (heading === null) {
      lines.push(line);
      continue;
    }
    if (heading.isUnderlined) lines.pop();
    while ((open.at(-1)?.level ?? 0) >= heading.level) open.pop();
    open.push(heading);
    if (title === null && heading.level === 1) title = heading;
    lines = begin(index + 2);
  }
  return {
    title: title?.text ?? front.title,
    parts: parts.map(({ headings, ...part }) => ({
      ...part,
      headings: headings.filter((each) => each !== title).map((each) => each.text),
    })),
  };
}

interface Heading {
  readonly level: number;
  readonly text: string;
  /** Its text is the line before. */
  readonly isUnderlined: boolean;
}

/** A longer line is no heading, and no expression has to look at it. */
const maxHeadingChars = 500;

function headingOf(line: string, before: readonly string[]): Heading | null {
  if (line.length > maxHeadingChars) return null;
  const hashes = /^ {0,3}(#{1,6})[ \t]+(.*)$/.exec(line);
  if (hashes) return heading(hashes[1]?.length ?? 1, (hashes[2] ?? "").replace(/\s#+\s*$/, ""), false);
  const html = /^ {0,3}<h([1-6])\b[^>]*>(.*)<\/h\1>\s*$/i.exec(line);
  if (html) return heading(Number(html[1]), html[2] ?? "", false);
  const [above, last = ""] = [before.at(-2) ?? "", before.at(-1) ?? ""];
  const isParagraph = above.trim() === "" && last.length <= maxHeadingChars && /^ {0,3}[^\s|>*+-]/.test(last);
  const underline = isParagraph ? /^ {0,3}(=+|-{2,})\s*$/.exec(line) : null;
  return underline === null ? null : heading(underline[1]?.startsWith("=") ? 1 : 2, last, true);
}

function heading(level: number, text: string, isUnderlined: boolean): Heading | null {
  const plain = plainText(text);
  return plain === "" ? null : { level, text: plain, isUnderlined };
}

/** Without the marks of Markdown and HTML. */
function plainText(text: string): string {
  return text
    .replaceAll(/<[^<>]*>/g, "")
    .replaceAll(/!?\[([^[\]]*)\](?:\([^()]*\)|\[[^[\]]*\])/g, "$1")
    .replaceAll(/[`*\\]/g, "")
    .replaceAll(/\s+/g, " ")
    .trim();
}

/** The fence that is open behind a line; a line that closes one is still code. */
function fenceAfter(line: string, open: string | null): string | null {
  const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1] ?? null;
  if (open === null) return mark;
  const isClosing = mark?.startsWith(open) && line.trim() === mark;
  return isClosing ? null : open;
}

function frontMatter(lines: readonly string[]): { readonly length: number; readonly title: string | null } {
  const end =
    lines[0]?.trimEnd() === "---"
      ? lines.slice(0, 200).findIndex((each, at) => at > 0 && each.trimEnd() === "---")
      : -1;
  if (end < 0) return { length: 0, title: null };
  const said = lines.slice(1, end).find((each) => each.length <= maxHeadingChars && /^title:/.test(each));
  const title = plainText(
    said
      ?.slice("title:".length)
      .trim()
      .replace(/^(["'])(.*)\1$/, "$2") ?? "",
  );
  return { length: end + 1, title: title === "" ? null : title };
}
