import { openPlaces, type Place } from "../app/buffer.ts";
import { openArchive, systemClock } from "../app/house.ts";
import { type DrainReport, drainSpool } from "../loops/drain-spool.ts";
import { ExecutorError } from "../model/failure.ts";
import type { SpoolTotals } from "../ports/spool.ts";
import type { CliContext } from "./context.ts";
import { say, written } from "./io.ts";

/**
 * `toolx replay --buffered`: brings to the database what waits for it in Redis and in this data folder, as a server does by itself. With
 * `dryRun` it only counts, and asks no database. Exit code 1 when something is left.
 * @throws ExecutorError validation, without a database; internal, when database or buffer is away.
 */
export async function replayBuffered(context: CliContext, dryRun: boolean, json: boolean): Promise<void> {
  const { io } = context;
  const config = context.config();
  if (config.database === null) {
    throw new ExecutorError("validation", "DATABASE_URL is not set, so nothing waits for a database", {
      hint: "tasks in a file of the data folder are written at once",
    });
  }
  await using opened = await openPlaces(config);
  const signal = io.interrupt;
  if (dryRun) {
    const found = await Promise.all(
      opened.places.map(async (place) => ({ place, totals: await place.spool.totals(signal) })),
    );
    if (json) return await written(io.stdout, jsonOf(found.map(({ place, totals }) => [place.name, totals])));
    for (const { place, totals } of found) say(io, `${place.name}: ${waiting(totals)}`);
    return;
  }
  await using archive = await openArchive(config);
  const reports: [Place["name"], DrainReport][] = [];
  for (const { name, spool } of opened.places) {
    const ports = { store: archive.store, spool, clock: systemClock, onDrained: () => undefined };
    const report = await drainSpool(ports, signal);
    if (report === null) {
      throw new ExecutorError("internal", `${name}: somebody else is emptying it at this moment`, {
        hint: "a server does it by itself; look again in a moment",
      });
    }
    reports.push([name, report]);
    if (report.left.length > 0) context.exitWith(1);
  }
  if (json) return await written(io.stdout, jsonOf(reports));
  for (const [name, { drained, left }] of reports) {
    say(io, `${name}: ${done(drained)}`);
    for (const { id, why } of left) say(io, `left  ${id}: ${why}`);
  }
}

const jsonOf = (found: readonly (readonly [string, object])[]): string =>
  `${JSON.stringify(Object.fromEntries(found))}\n`;

function waiting({ counts, oldestAt }: SpoolTotals): string {
  if (oldestAt === null) return "nothing waits";
  const kinds = Object.entries(counts).filter(([, count]) => count > 0);
  const total = kinds.reduce((sum, [, count]) => sum + count, 0);
  const ageMin = Math.max(0, Math.round((systemClock.now() - oldestAt) / 60_000));
  return `${total} wait (${kinds.map(([kind, count]) => `${count} ${kind}`).join(", ")}), the oldest for ${ageMin} min`;
}

function done(drained: DrainReport["drained"]): string {
  const fates = Object.entries(drained).filter(([, count]) => count > 0);
  return fates.length === 0
    ? "nothing waits"
    : `drained: ${fates.map(([fate, count]) => `${count} ${fate}`).join(", ")}`;
}
