#!/usr/bin/env node
import { resolve } from "node:path";
import { runCli } from "./cli/program.ts";
import { ExecutorError } from "./model/failure.ts";

const interrupt = new AbortController();
const onSignal = (): void => {
  // The first asks the task to end and waits for its result; the second ends us, and the reaper cleans up.
  if (interrupt.signal.aborted) process.exit(130);
  interrupt.abort(new ExecutorError("cancelled", "interrupted"));
};
process.on("SIGINT", onSignal);
process.on("SIGTERM", onSignal);
process.on("SIGHUP", onSignal);

process.exitCode = await runCli(process.argv.slice(2), {
  io: {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd: process.cwd(),
    interrupt: interrupt.signal,
  },
  programDir: resolve(import.meta.dirname, ".."),
});
