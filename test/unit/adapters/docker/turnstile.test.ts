import { expect, test } from "vitest";
import { turnstile } from "../../../../src/adapters/docker/turnstile.ts";
import { never } from "../../../support/samples.ts";

/** Work that goes on until it is told to end, and who is at it, in order. */
function works() {
  const inside: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (name: string) => async (): Promise<string> => {
    inside.push(name);
    const { promise, resolve } = Promise.withResolvers<void>();
    ends.set(name, resolve);
    await promise;
    return name;
  };
  return { inside, work, end: (name: string) => ends.get(name)?.() };
}

test("so many pass at once, and the others in order of arrival, as those before them leave", async () => {
  const { pass } = turnstile(2);
  const { inside, work, end } = works();
  const calls = ["a", "b", "c", "d"].map((name) => pass(work(name), never()));
  await expect.poll(() => inside).toEqual(["a", "b"]);
  end("b");
  await expect.poll(() => inside).toEqual(["a", "b", "c"]);
  end("a");
  await expect.poll(() => inside).toEqual(["a", "b", "c", "d"]);
  for (const name of ["c", "d"]) end(name);
  expect(await Promise.all(calls)).toEqual(["a", "b", "c", "d"]);
});

test("who stops waiting is passed over, and work that fails makes room as any other", async () => {
  const { pass } = turnstile(1);
  const { inside, work, end } = works();
  const failing = pass(async () => {
    await work("a")();
    throw new Error("no engine");
  }, never());
  const cancel = new AbortController();
  const cancelled = pass(work("b"), cancel.signal);
  const last = pass(work("c"), never());
  cancel.abort(new Error("cancelled"));
  await expect(cancelled).rejects.toThrow("cancelled");
  end("a");
  await expect(failing).rejects.toThrow("no engine");
  await expect.poll(() => inside).toEqual(["a", "c"]);
  end("c");
  expect(await last).toBe("c");
  await expect(pass(work("d"), cancel.signal)).rejects.toThrow("cancelled");
});
