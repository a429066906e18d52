import { setTimeout as sleep } from "node:timers/promises";
import { isCallbackLetter, replayOfLetter } from "../executor/replay.ts";
import { submit } from "../executor/submit.ts";
import { ExecutorError } from "../model/failure.ts";
import type { LetterSummary } from "../model/letter-summary.ts";
import { keyText, taskKey } from "../model/task.ts";
import type { LettersFront } from "../ports/front.ts";
import type { CliContext } from "./context.ts";
import { knownLetter, type LetterFlags, letterId, letterName, letterScope, wholeNumber } from "./dlq.ts";
import { say, written } from "./io.ts";
import { badFlag } from "./quantities.ts";
import { openServer } from "./server.ts";

export interface DlqReplayFlags extends LetterFlags {
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly limit: string;
  readonly rate: string;
  readonly output: string;
}

/** What became of one letter. */
interface Replayed {
  readonly letter: number;
  readonly outcome: "replayed" | "known" | "callback" | "refused" | "would be replayed";
  readonly task: string | null;
  /** How the new task ended, where it ran here; why it was refused. */
  readonly said: string | null;
}

type ReplayLetter = (letter: LetterSummary) => Promise<Omit<Replayed, "letter">>;

/**
 * `toolx dlq replay`: the letters named, or with `--all` all that fit, the oldest first, no more of them than `--limit` and no faster than
 * `--rate`. A letter always becomes the same task, so what was replayed before is told and not run again. Exit code 1 when one was refused.
 */
export async function dlqReplay(context: CliContext, ids: readonly string[], flags: DlqReplayFlags): Promise<void> {
  const { io } = context;
  const limit = wholeNumber("--limit", flags.limit, 100_000);
  const pauseMs = 1000 / wholeNumber("--rate", flags.rate, 1000);
  if (ids.length > 0 === (flags.all === true))
    throw badFlag("--all", String(flags.all === true), "letters by their numbers, or --all for all that fit");
  await using place = await placeOf(context, letterScope(flags).tenantId);
  const letters =
    ids.length > 0
      ? await named(place.front, ids, flags, io.interrupt)
      : await fitting(place.front, flags, io.interrupt);
  let replayed = 0;
  for (const letter of letters) {
    if (replayed === limit) {
      say(io, `stopped at ${limit} (--limit); ${letters.length - letters.indexOf(letter)} are left`);
      break;
    }
    const done = flags.dryRun === true ? wouldBe : await refusable(place.replay, letter);
    if (done.outcome !== "known") replayed += 1;
    if (done.outcome === "refused") context.exitWith(1);
    await told(context, { letter: letter.id, ...done }, letter, flags.output === "json");
    if (flags.dryRun !== true && done.outcome !== "known") await sleep(pauseMs, undefined, { signal: io.interrupt });
  }
  if (letters.length === 0) say(io, "nothing to replay");
}

const wouldBe: Omit<Replayed, "letter"> = { outcome: "would be replayed", task: null, said: null };

/** One that is refused stops no other. */
async function refusable(replay: ReplayLetter, letter: LetterSummary): Promise<Omit<Replayed, "letter">> {
  try {
    return await replay(letter);
  } catch (error) {
    // What is the matter with the server or the store is the matter with all of them.
    if (!(error instanceof ExecutorError) || error.code === "internal" || error.code === "quota") throw error;
    return { outcome: "refused", task: null, said: `${error.code}: ${error.message}` };
  }
}

async function told(
  { io }: CliContext,
  { letter, outcome, task, said }: Replayed,
  of: LetterSummary,
  json: boolean,
): Promise<void> {
  if (json) return await written(io.stdout, `${JSON.stringify({ letter, outcome, task, said })}\n`);
  const words = [
    `${letter}`,
    letterName(of),
    outcome,
    ...(task === null ? [] : [`as ${task}`]),
    ...(said === null ? [] : [said]),
  ];
  await written(io.stdout, `${words.join("  ")}\n`);
}

const named = async (front: LettersFront, ids: readonly string[], flags: LetterFlags, signal: AbortSignal) =>
  await Promise.all(ids.map((id) => knownLetter(front, letterId(id), letterScope(flags).tenantId, signal)));

/** Oldest first: that is how they would have run. */
async function fitting(
  front: LettersFront,
  flags: LetterFlags,
  signal: AbortSignal,
): Promise<readonly LetterSummary[]> {
  const found: LetterSummary[] = [];
  let olderThan: number | null = null;
  do {
    const page = await front.letters({ ...letterScope(flags), olderThan, limit: 1000 }, signal);
    found.push(...page.letters);
    olderThan = page.next;
  } while (olderThan !== null);
  return found.reverse();
}

/** Where letters are and are replayed: a server, or this process. */
async function placeOf(
  context: CliContext,
  tenantId: string | null,
): Promise<{ readonly front: LettersFront; readonly replay: ReplayLetter } & AsyncDisposable> {
  const signal = context.io.interrupt;
  const server = await openServer(context);
  if (server !== null) {
    const replay: ReplayLetter = async ({ id }) => {
      const replayed = await server.replayLetter(id, tenantId, signal);
      if (replayed === null) throw new ExecutorError("validation", `dead letter ${id} is gone`);
      const task = keyText(replayed.key);
      if (replayed.kind === "callback") return { outcome: "callback", task, said: null };
      return { outcome: replayed.isNew ? "replayed" : "known", task, said: null };
    };
    return { front: server, replay, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
  }
  const [{ openHouse }, { lettersOf }] = await Promise.all([import("../app/house.ts"), import("../app/letters.ts")]);
  const house = await openHouse(context.config());
  const { store } = house.parts;
  const replay: ReplayLetter = async ({ id }) => {
    const letter = await store.getLetter(id, signal);
    if (letter === null) throw new ExecutorError("validation", `dead letter ${id} is gone`);
    if (letter.key !== null && isCallbackLetter(letter)) {
      await store.callbackAgain(id, signal);
      return { outcome: "callback", task: keyText(letter.key), said: "a server will call" };
    }
    const task = await replayOfLetter(store, house.parseTask, letter, signal);
    const isKnown = (await store.get(taskKey(task), signal)) !== null;
    const { reason } = await submit(house.parts, task, { watcher: () => undefined, stdin: null }, signal);
    return { outcome: isKnown ? "known" : "replayed", task: keyText(taskKey(task)), said: reason };
  };
  return { front: lettersOf(store), replay, [Symbol.asyncDispose]: () => house[Symbol.asyncDispose]() };
}
