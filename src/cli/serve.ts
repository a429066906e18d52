import { readFileSync } from "node:fs";
import { join } from "node:path";
import { serve } from "../app/serve.ts";
import { takeSignals } from "../app/shutdown.ts";
import type { CliContext } from "./context.ts";
import { say } from "./io.ts";

/**
 * `toolx serve`: takes tasks in and runs them until SIGTERM. The first signal lets what runs end, the second ends it, a third ends
 * the process. With `handover` the second signal, or the end of the time to drain, leaves what runs to the next server.
 */
export async function serveCommand(
  context: CliContext,
  { handover = false }: { readonly handover?: boolean },
): Promise<void> {
  const { io, programDir } = context;
  using shutdown = takeSignals(process, io.interrupt);
  const { version } = JSON.parse(readFileSync(join(programDir, "package.json"), "utf8")) as {
    readonly version: string;
  };
  await serve(context.config(), { version, handover, say: (line) => say(io, line) }, shutdown);
}
