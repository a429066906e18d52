import { openReaper } from "../app/reaper.ts";
import { reapOnce } from "../loops/reap.ts";
import type { CliContext } from "./context.ts";
import { say, written } from "./io.ts";

/**
 * `toolx gc`: removes what executors left that are dead: containers, networks, volumes, scratch folders, sockets; their tasks in this data
 * folder end as `worker_lost`. What a living executor holds is untouched, whatever data folder it uses.
 */
export async function gcCommand(context: CliContext, json: boolean): Promise<void> {
  const { io } = context;
  await using ports = await openReaper(context.config());
  const report = await reapOnce(ports, io.interrupt);
  if (json) return await written(io.stdout, `${JSON.stringify(report)}\n`);
  const { containers, networks, volumes, directories, sockets } = report.removed;
  const counts = { containers, networks, volumes, directories, sockets, "lost tasks ended": report.ended };
  const done = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${what}: ${count}`);
  say(io, done.length > 0 ? `removed  ${done.join(" · ")}` : "nothing to remove");
  if (report.spared > 0) say(io, `in use by living executors: ${report.spared}`);
  for (const { id, why } of report.left) say(io, `left  ${id.slice(0, 64)}: ${why}`);
}
