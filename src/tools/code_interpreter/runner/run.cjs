// Comes before the program (node --require): has the value of its last expression noted, to be left in /output at the end.
// The program stays Node's own main module, with its own text but for one assignment.
"use strict";

const { readFileSync } = require("node:fs");
const { registerHooks } = require("node:module");
const { pathToFileURL } = require("node:url");
const { isMainThread } = require("node:worker_threads");

// What the program starts (threads, processes) and what it sees of itself is as without us.
process.execArgv.length = 0;
if (isMainThread) watch(process.argv[1]);
delete require.cache[__filename];

function watch(path) {
  try {
    const source = readFileSync(path, "utf8");
    const name = freeName(source);
    const changed = borrowed("./.toolx-split.cjs").noting(source, name);
    if (changed === null) return;
    const swap = swapped(pathToFileURL(path).href, changed);
    noteInto(name, () => swap.deregister());
  } catch {
    // No value then: the program runs as it is.
  }
}

function borrowed(path) {
  const its = require(path);
  delete require.cache[require.resolve(path)];
  return its;
}

function freeName(source) {
  let name = "$value";
  while (source.includes(name)) name += "$";
  return name;
}

/** A global that takes one value and is gone. */
function noteInto(name, done) {
  Object.defineProperty(globalThis, name, {
    configurable: true,
    set(value) {
      delete globalThis[name];
      done();
      if (value === undefined || value === null || typeof value === "function") return;
      process.once("exit", (code) => {
        if (code !== 0) return;
        try {
          borrowed("./.toolx-capture.cjs").capture(value);
        } catch {
          // What cannot be shown is not the program's fault.
        }
      });
    },
  });
}

/** Gives the main module another text. One that turns out to be an ES module is loaded twice. */
function swapped(url, source) {
  return registerHooks({
    load(asked, context, next) {
      const loaded = next(asked, context);
      return asked === url ? { ...loaded, source } : loaded;
    },
  });
}
