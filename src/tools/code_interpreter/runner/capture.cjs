// Leaves a value in /output, and an index of it for the orchestrator. No getter, `toJSON` or `inspect` of the program's own is called.
"use strict";

const fs = require("node:fs");
const { inspect, types } = require("node:util");
const vm = require("node:vm");

const output = "/output";
const index = ".toolx.json";
const maxValueCharacters = 65_536;
const maxDepth = 32;
const maxItems = 100_000;
const maxTextCharacters = 4_096;
const maxTextMs = 1_000;
const maxRows = 200;
const maxColumns = 50;
const maxCellCharacters = 200;
// A task with more files than this has its own way to show things, and caps that one file more could go over.
const maxEntries = 2_000;

exports.capture = (given) => {
  const value = types.isPromise(given) ? settled(given) : given;
  if (value === undefined || value === null || typeof value === "function") return;
  const room = roomIn(output);
  const results = isTable(value) ? saveTable(room, value) : [];
  try {
    fs.unlinkSync(`${output}/${index}`);
  } catch {
    // Mostly there is none.
  }
  room.write(index, `{"value":${encoded(value)},"results":${JSON.stringify(results)}}`);
};

/** What a promise was fulfilled with; undefined: it was not. Asking it by `then` would be heard by `unhandledRejection`. */
function settled(promise) {
  const { Session } = require("node:inspector");
  const session = new Session();
  const key = Symbol("settled");
  let state;
  session.connect();
  try {
    globalThis[key] = { promise, take: (value) => (state = { value }) };
    const ask = (method, params) => {
      let answer;
      session.post(method, params, (error, result) => (answer = error ? undefined : result));
      return answer;
    };
    const all = `Object.getOwnPropertySymbols(globalThis).map((each) => globalThis[each]).find((each) => each?.take)`;
    const holder = ask("Runtime.evaluate", { expression: all }).result.objectId;
    const held = ask("Runtime.getProperties", { objectId: holder, ownProperties: true }).result;
    const { objectId } = held.find(({ name }) => name === "promise").value;
    const inner = ask("Runtime.getProperties", { objectId, ownProperties: true }).internalProperties;
    const part = (name) => inner.find((each) => each.name === name)?.value;
    if (part("[[PromiseState]]").value !== "fulfilled") return undefined;
    const result = part("[[PromiseResult]]");
    const argument = result.objectId ? { objectId: result.objectId } : result;
    ask("Runtime.callFunctionOn", {
      objectId: holder,
      functionDeclaration: "function(value) { this.take(value) }",
      arguments: [argument],
    });
    return state?.value;
  } finally {
    delete globalThis[key];
    session.disconnect();
  }
}

class NotPlain extends Error {}

function encoded(value) {
  try {
    return plainJson(value);
  } catch (error) {
    if (!(error instanceof NotPlain)) throw error;
    return JSON.stringify(textOf(value).toWellFormed());
  }
}

/** JSON of what is plain data through and through; no code of the program runs. */
function plainJson(value) {
  let left = maxValueCharacters;
  const counted = (text) => {
    left -= text.length;
    if (left < 0) throw new NotPlain();
    return text;
  };
  const visit = (item, depth) => {
    switch (typeof item) {
      case "string":
        if (item.length > left || !item.isWellFormed()) throw new NotPlain();
        return counted(JSON.stringify(item));
      case "number":
        if (!Number.isFinite(item)) throw new NotPlain();
        return counted(JSON.stringify(item));
      case "boolean":
        return counted(String(item));
      case "undefined":
        return counted("null");
      case "object":
        if (item === null) return counted("null");
        if (depth >= maxDepth) throw new NotPlain();
        return isList(item) ? list(item, depth + 1) : object(item, depth + 1);
      default:
        throw new NotPlain();
    }
  };
  const list = (items, depth) => {
    const pieces = [];
    for (let at = 0; at < items.length; at += 1) pieces.push(counted(visit(own(items, at), depth)));
    return `[${pieces.join(",")}]`;
  };
  const object = (item, depth) => {
    if (types.isDate(item) && !Number.isNaN(item.getTime())) return counted(JSON.stringify(item.toISOString()));
    if (!isRecord(item)) throw new NotPlain();
    const pieces = [];
    for (const key of Object.keys(item)) {
      if (key === "__proto__" || !key.isWellFormed()) throw new NotPlain();
      const member = own(item, key);
      if (member !== undefined) pieces.push(`${counted(JSON.stringify(key))}:${visit(member, depth)}`);
    }
    return `{${pieces.join(",")}}`;
  };
  return visit(value, 0);
}

const isList = (item) => Array.isArray(item) && !types.isProxy(item) && item.length <= maxItems;

function isRecord(item) {
  if (typeof item !== "object" || item === null || types.isProxy(item) || Array.isArray(item)) return false;
  const prototype = Object.getPrototypeOf(item);
  return prototype === null || prototype === Object.prototype;
}

/** A member that is data. */
function own(item, key) {
  const found = Object.getOwnPropertyDescriptor(item, key);
  if (found !== undefined && !("value" in found)) throw new NotPlain();
  return found?.value;
}

function textOf(value) {
  let text = value;
  if (typeof value !== "string") {
    const key = Symbol("text");
    const options = { customInspect: false, depth: 3, maxStringLength: 1_000, breakLength: 100 };
    globalThis[key] = () => inspect(value, options);
    try {
      // A name's getter on a prototype is the one thing of the program's that is still asked: not for ever.
      const symbols = "Object.getOwnPropertySymbols(globalThis)";
      text = vm.runInThisContext(`globalThis[${symbols}.at(-1)]()`, { timeout: maxTextMs });
    } finally {
      delete globalThis[key];
    }
  }
  const more = text.length - maxTextCharacters;
  return more <= 0 ? text : `${text.slice(0, maxTextCharacters)}… (${more} more characters)`;
}

/** Records, one a row. */
function isTable(value) {
  if (!isList(value) || value.length === 0) return false;
  try {
    for (let at = 0; at < value.length; at += 1) {
      const row = own(value, at);
      if (!isRecord(row) || Object.keys(row).length === 0) return false;
    }
    return true;
  } catch {
    return false;
  }
}

function saveTable(room, records) {
  try {
    const table = tableOf(records);
    return [
      saved(room, "table.md", "text/markdown", markdown(table)),
      saved(room, "table.json", "application/json", JSON.stringify(table)),
    ];
  } catch {
    // The value may still be told.
    return [];
  }
}

function tableOf(records) {
  const names = new Set(records.flatMap((record) => Object.keys(record)));
  const keys = [...names].slice(0, maxColumns);
  return {
    columns: keys.map(shortText),
    rows: records.slice(0, maxRows).map((record) => keys.map((key) => cell(own(record, key)))),
    row_count: records.length,
    column_count: names.size,
  };
}

function cell(value) {
  if (value === undefined || value === null || typeof value === "boolean") return value ?? null;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (typeof value === "string") return shortText(value);
  try {
    return shortText(plainJson(value).replace(/^"(.*)"$/, "$1"));
  } catch {
    return shortText(textOf(value));
  }
}

function shortText(text) {
  const short = text.length <= maxCellCharacters ? text : `${text.slice(0, maxCellCharacters)}…`;
  return short.toWellFormed();
}

function markdown({ columns, rows, row_count, column_count }) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  const shown = (value) =>
    String(value ?? "")
      .replace(/[&<\\|]/g, (found) => ({ "&": "&amp;", "<": "&lt;", "\\": "\\\\", "|": "\\|" })[found])
      .replace(/\s+/g, " ")
      .trim();
  const lines = [line(columns.map(shown)), line(columns.map(() => "---")), ...rows.map((row) => line(row.map(shown)))];
  if (rows.length < row_count || columns.length < column_count)
    lines.push("", `${rows.length} of ${row_count} rows, ${columns.length} of ${column_count} columns`);
  return `${lines.join("\n")}\n`;
}

/** Writes a file that is not there yet, under the first free name, and answers its line of the index. */
function saved(room, name, mime, content) {
  const [stem, ending] = name.split(".");
  for (let number = 1; ; number += 1) {
    const path = number === 1 ? name : `${stem}-${number}.${ending}`;
    try {
      room.write(path, content);
      return { mime, artifact: path };
    } catch (error) {
      if (error.code !== "EEXIST" || number > 100) throw error;
    }
  }
}

/** What is in /output already, and what may come beside it. @throws when that is too much. */
function roomIn(folder) {
  const disk = fs.statfsSync(folder);
  let bytes = 0;
  let entries = 0;
  const look = (path) => {
    for (const entry of fs.readdirSync(path, { withFileTypes: true })) {
      entries += 1;
      if (entries > maxEntries) throw new RangeError("too many files");
      if (entry.isDirectory()) look(`${path}/${entry.name}`);
      else if (entry.isFile()) bytes += fs.lstatSync(`${path}/${entry.name}`).size;
    }
  };
  look(folder);
  return {
    write(name, text) {
      const content = Buffer.from(text);
      // More than the disk has is there when files have holes; what is over it would not be kept, and that is told.
      if (bytes + content.length > disk.blocks * disk.bsize) throw new RangeError("too many bytes");
      const path = `${folder}/${name}`;
      const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
      const descriptor = fs.openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644);
      try {
        fs.writeFileSync(descriptor, content);
      } catch (error) {
        fs.unlinkSync(path);
        throw error;
      } finally {
        fs.closeSync(descriptor);
      }
      bytes += content.length;
    },
  };
}
