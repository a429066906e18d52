// Finds the last expression of a program without a parser of our own: V8 is asked whether parts of the text are whole.
"use strict";

const { compileFunction, Script } = require("node:vm");

const maxSourceCharacters = 128 * 1024;
/** Places, from the end, at which the last expression may begin. */
const maxTries = 60;

/**
 * The text with `name=` before its last expression; null when there is none, or none that is certain. No line gets
 * another number. The assignment stands on an empty line or one of comment where there is one before, else at the end of the
 * line before, else before the expression itself.
 */
exports.noting = (source, name) => {
  if (source.length > maxSourceCharacters || !source.isWellFormed()) return null;
  const program = read(source);
  if (program === null) return null;
  const ends = endsOf(program.text);
  let tries = 0;
  for (const from of beginnings(program.text, ends[0])) {
    if (++tries > maxTries) return null;
    if (!isLastExpression(program, from, ends)) continue;
    // The line for the shell must stay the first thing there is.
    const at = Math.max(placeFor(program, from), source.startsWith("#!") ? source.indexOf("\n") + 1 : 0);
    const note = `${isEnded(program, at) ? "" : ";"}${name}=`;
    if (!program.parses(program.text.slice(0, at) + note + program.text.slice(at))) return null;
    return source.slice(0, at) + note + source.slice(at);
  }
  return null;
};

/** The text with what only a module or a main file may hold made blank, each character in its place, and who can parse it. */
function read(source) {
  const text = source.startsWith("#!") ? `//${source.slice(2)}` : source;
  if (attempt(asCommonJs, text)) return { text, parses: (part) => attempt(asCommonJs, part) };
  const body = text.replace(staticImport, blank).replace(exportWord, blank);
  if (attempt(asModule, body)) return { text: body, parses: (part) => attempt(asModule, part) };
  return null;
}

const staticImport = /^[ \t]*import\s*(?:[\w$*{][^;'"]*?\bfrom\s*)?(['"])[^'"\n]*\1(?:\s*with\s*\{[^}]*\})?[ \t]*;?/gm;
const exportWord = /^export\s+(?=(?:const|let|var|function|class|async)\b)/gm;
const blank = (found) => found.replace(/[^\n]/g, " ");

const asCommonJs = (text) => compileFunction(text, ["exports", "require", "module", "__filename", "__dirname"]);
const asModule = (text) => new Script(`async()=>{"use strict";${text}\n}`);

function attempt(parse, text) {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Where the last statement may end: before what is certainly no code, and before each `//` of its line. */
function endsOf(text) {
  let end = text.length;
  for (;;) {
    const rest = text.slice(0, end).trimEnd();
    const line = rest.slice(rest.lastIndexOf("\n") + 1);
    if (rest.endsWith(";")) end = rest.length - 1;
    else if (line.trimStart().startsWith("//")) end = rest.length - line.length;
    else if (rest.endsWith("*/")) end = rest.lastIndexOf("/*");
    else {
      const before = [...line.matchAll(/\/\//g)].map(({ index }) => rest.length - line.length + index);
      return [rest.length, ...before].map((at) => text.slice(0, at).replace(/[\s;]+$/, "").length);
    }
  }
}

/** Where a statement may begin, the last first: at the beginning of a line, and after a semicolon. */
function* beginnings(text, end) {
  for (let lineEnd = end; lineEnd >= 0; ) {
    const lineStart = text.lastIndexOf("\n", lineEnd - 1) + 1;
    const line = text.slice(lineStart, lineEnd);
    for (let at = line.lastIndexOf(";"); at >= 0; at = at > 0 ? line.lastIndexOf(";", at - 1) : -1) {
      const from = at + 1 + line.slice(at + 1).search(/\S|$/);
      if (from < line.length) yield lineStart + from;
    }
    if (/\S/.test(line)) yield lineStart + line.search(/\S/);
    lineEnd = lineStart - 1;
  }
}

/** These begin an expression only where no statement begins. */
const declaration = /^(?:function|class|async\s+function|let)\b|^\{/;
/** Nothing that goes on with what stands on the line before: a name, a number, a text. */
const freshStart = /^[\p{ID_Start}$_\d"'!~]/u;

function isLastExpression(program, from, ends) {
  const { text, parses } = program;
  const rest = text.slice(from);
  // What is printed is no value.
  if (declaration.test(rest) || /^(?:await\s+)?console\s*\./.test(rest)) return false;
  // As the middle of a condition no comma and no statement is taken.
  if (!ends.some((end) => end > from && parses(`(0?\n${text.slice(from, end)}\n:0)`))) return false;
  const before = text.slice(0, from).trimEnd();
  if (!parses(before) || !isCode(program, from)) return false;
  if (isEnded(program, before.length)) return true;
  const onNewLine = text.slice(before.length, from).includes("\n");
  return onNewLine && freshStart.test(rest) && !/(?:^|[^\w$.])let$/.test(before);
}

/** Whether this is no place inside a comment, a text or a pattern: nonsense is refused there. */
const isCode = ({ text, parses }, at) => !parses(`${text.slice(0, at)} @@ ${text.slice(at)}`);

/** Whether a statement has just ended here, by a semicolon or because nothing came before. */
function isEnded(program, at) {
  const before = program.text.slice(0, at).trimEnd();
  return before === "" || (before.endsWith(";") && isCode(program, before.length - 1));
}

function placeFor(program, from) {
  const { text } = program;
  const lineStart = text.lastIndexOf("\n", from - 1) + 1;
  if (lineStart === 0 || text.slice(lineStart, from).trim() !== "") return from;
  const endBefore = lineStart - 1;
  const startBefore = text.lastIndexOf("\n", endBefore - 1) + 1;
  const line = text.slice(startBefore, endBefore);
  if (/^\s*(?:\/\/.*)?$/.test(line) && isCode(program, startBefore)) return startBefore;
  if (isCode(program, endBefore)) return endBefore;
  const comment = [...line.matchAll(/\/\//g)].map(({ index }) => startBefore + index);
  return comment.find((at) => isCode(program, at) && program.parses(text.slice(0, at))) ?? from;
}
