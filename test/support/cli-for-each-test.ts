import { afterEach, beforeEach, expect } from "vitest";
import { type Cli, openCli } from "./cli.ts";

/** A `toolx` of its own for each test of the file; a test that leaves something on the engine or the disk fails. */
export function cliForEachTest(take: (cli: Cli) => void, options: Parameters<typeof openCli>[0] = {}): void {
  let cli: Cli;
  beforeEach(async () => {
    cli = await openCli(options);
    take(cli);
  });
  afterEach(async () => {
    try {
      expect(await cli.leftovers()).toEqual([]);
    } finally {
      await cli[Symbol.asyncDispose]();
    }
  });
}
