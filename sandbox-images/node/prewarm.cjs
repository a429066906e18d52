// Started before its task is known: node prewarm.cjs. Becomes in this process what `node [--require FILE]... PROGRAM ARGUMENT...` would be.
// The task comes over a socket from sandbox-init, as it comes to its launcher. Another command is left to a new Node in this one's place.
"use strict";

const { closeSync, openSync, readSync, writeSync } = require("node:fs");
const { runMain, _preloadModules } = require("node:module");
const { resolve } = require("node:path");

const control = 4;
const internal = 70;

delete require.cache[__filename];
writeSync(control, "R");
become(readTask());

function become({ argv, env, cwd, hasStdin }) {
  try {
    if (!hasStdin) {
      // The lowest number that is free.
      closeSync(0);
      openSync("/dev/null", "r");
    }
    process.chdir(cwd);
  } catch (error) {
    writeSync(control, `enter the working directory: ${error.code}`);
    process.exit(internal);
  }
  // So sandbox-init knows that the task runs.
  closeSync(control);
  const command = commandOf(argv);
  if (command === null) replaceBy(argv, env);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  process.execArgv = command.required.flatMap((file) => ["--require", file]);
  process.argv = [process.execPath, resolve(command.program), ...command.args];
  // From the event loop, where nothing of ours is in the trace of an error.
  if (command.required.length > 0) setImmediate(_preloadModules, command.required);
  setImmediate(runMain);
}

/** Null for what only a new process does right. */
function commandOf([, ...rest]) {
  const required = [];
  while (rest[0] === "--require" && rest.length > 1) required.push(...rest.splice(0, 2).slice(1));
  const [program = "-", ...args] = rest;
  return program === "" || program.startsWith("-") ? null : { required, program, args };
}

function replaceBy(argv, env) {
  // It would warn of itself, on the task's standard error.
  process.emitWarning = () => {};
  process.execve(process.execPath, argv, env);
}

/** Numbers of 8 bytes, texts after a length of 4, lists after a number. */
function readTask() {
  const body = exactly(exactly(4).readUInt32BE());
  let at = 0;
  const number = () => {
    at += 8;
    return Number(body.readBigUInt64BE(at - 8));
  };
  const text = () => {
    const from = at + 4;
    at = from + body.readUInt32BE(at);
    return body.toString("utf8", from, at);
  };
  const texts = () => Array.from({ length: number() }, text);
  const argv = texts();
  const env = Object.fromEntries(texts().map(named));
  const cwd = text();
  text(); // where to look for the program: this is the one
  return { argv, env, cwd, hasStdin: number() === 1 };
}

function named(variable) {
  const at = variable.indexOf("=");
  return [variable.slice(0, at), variable.slice(at + 1)];
}

/** Ends the process where sandbox-init is gone, or wants no task of it. */
function exactly(size) {
  const bytes = Buffer.alloc(size);
  let have = 0;
  while (have < size) {
    const count = readSync(control, bytes, have, size - have);
    if (count === 0) process.exit(internal);
    have += count;
  }
  return bytes;
}
