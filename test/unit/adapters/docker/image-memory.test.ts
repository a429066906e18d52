import { once } from "node:events";
import { PassThrough } from "node:stream";
import { expect, test, vi } from "vitest";
import { imageMemory } from "../../../../src/adapters/docker/image-memory.ts";

/** An engine that says what the test says. */
function engine() {
  const streams: PassThrough[] = [];
  const getEvents = vi.fn(async () => {
    const stream = new PassThrough();
    streams.push(stream);
    return stream;
  });
  return { getEvents, streams };
}

/** How often `look` was asked for something that is there. */
function looking() {
  const look = vi.fn(async () => ({ id: look.mock.calls.length }));
  return look;
}

/** One that listens already. */
async function listening() {
  const { getEvents, streams } = engine();
  const memory = imageMemory({ getEvents });
  const look = looking();
  await memory.of("other", look);
  await memory.of("other", look);
  await vi.waitFor(() => expect(streams).toHaveLength(1));
  look.mockClear();
  return { memory, look, getEvents, stream: streams[0] as PassThrough, streams };
}

test("who looks once does not listen", async () => {
  const { getEvents } = engine();
  using memory = imageMemory({ getEvents });
  await memory.of("shell", looking());
  expect(getEvents).not.toHaveBeenCalled();
});

test("what was found is not looked for again while no image changes", async () => {
  const { memory, look } = await listening();
  using _memory = memory;
  expect(await memory.of("shell", look)).toEqual({ id: 1 });
  expect(await memory.of("shell", look)).toEqual({ id: 1 });
  expect(await memory.of("python", look)).toEqual({ id: 2 });
  expect(look).toHaveBeenCalledTimes(2);
});

test("after a change everything is looked for again", async () => {
  const { memory, look, stream } = await listening();
  using _memory = memory;
  await memory.of("shell", look);
  stream.write('{"Type":"image","Action":"tag"}\n');
  await vi.waitFor(() => expect(stream.readableLength).toBe(0));
  expect(await memory.of("shell", look)).toEqual({ id: 2 });
});

test("what was asked before a change and answered after it counts for who asked only", async () => {
  const { memory, stream } = await listening();
  using _memory = memory;
  const answer = Promise.withResolvers<string>();
  const asked = memory.of("shell", () => answer.promise);
  stream.write("{}\n");
  await vi.waitFor(() => expect(stream.readableLength).toBe(0));
  answer.resolve("old");
  expect(await asked).toBe("old");
  expect(await memory.of("shell", async () => "new")).toBe("new");
});

test("what is not there is looked for every time", async () => {
  const { memory } = await listening();
  using _memory = memory;
  expect(await memory.of("ruby", async () => null)).toBeNull();
  expect(await memory.of("ruby", async () => "there")).toBe("there");
});

test("a failure is the asker's, and is not remembered", async () => {
  const { memory } = await listening();
  using _memory = memory;
  await expect(memory.of("shell", () => Promise.reject(new Error("away")))).rejects.toThrow("away");
  expect(await memory.of("shell", async () => "there")).toBe("there");
});

test.each(["end", "error"])("once the engine has nothing more to say (%s), it is asked every time", async (how) => {
  const { memory, look, stream } = await listening();
  using _memory = memory;
  await memory.of("shell", look);
  const closed = once(stream, "close");
  stream.destroy(how === "error" ? new Error("reset") : undefined);
  await closed.catch(() => undefined);
  await memory.of("shell", look);
  await memory.of("shell", look);
  expect(look).toHaveBeenCalledTimes(3);
});

test("an engine that tells nothing is asked every time", async () => {
  using memory = imageMemory({ getEvents: () => Promise.reject(new Error("403")) });
  const look = looking();
  for (let count = 0; count < 4; count += 1) await memory.of("shell", look);
  expect(look).toHaveBeenCalledTimes(4);
});

/** One that listens, knows `shell`, and whose clock the test moves. */
async function aged() {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  const { getEvents, streams } = engine();
  const memory = imageMemory({ getEvents });
  const look = looking();
  await memory.of("shell", look);
  await memory.of("shell", look);
  await vi.advanceTimersByTimeAsync(0);
  expect(streams).toHaveLength(1);
  expect(await memory.of("shell", look)).toEqual({ id: 3 });
  return {
    ...{ memory, look },
    [Symbol.dispose]() {
      memory[Symbol.dispose]();
      vi.useRealTimers();
    },
  };
}

test("after half a minute what is known is still given at once, and looked for again beside", async () => {
  using it = await aged();
  await vi.advanceTimersByTimeAsync(29_000);
  expect(await it.memory.of("shell", it.look)).toEqual({ id: 3 });
  await vi.advanceTimersByTimeAsync(2_000);
  expect(it.look).toHaveBeenCalledTimes(3);
  expect(await it.memory.of("shell", it.look)).toEqual({ id: 3 });
  expect(await it.memory.of("shell", it.look)).toEqual({ id: 3 });
  expect(it.look).toHaveBeenCalledTimes(3);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(it.look).toHaveBeenCalledTimes(4);
  expect(await it.memory.of("shell", it.look)).toEqual({ id: 4 });
});

test("a look beside that finds nothing has it looked for by whoever asks next; one that fails does not", async () => {
  using it = await aged();
  await vi.advanceTimersByTimeAsync(31_000);
  await it.memory.of("shell", () => Promise.reject(new Error("away")));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await it.memory.of("shell", async () => null)).toEqual({ id: 3 });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await it.memory.of("shell", async () => null)).toBeNull();
});

test("after ten minutes it is looked for before it is given", async () => {
  using it = await aged();
  await vi.advanceTimersByTimeAsync(601_000);
  expect(await it.memory.of("shell", it.look)).toEqual({ id: 4 });
});

test("dispose lets go of the engine", async () => {
  const { memory, stream } = await listening();
  memory[Symbol.dispose]();
  expect(stream.destroyed).toBe(true);
});

test("two that ask at once wait for one look, and the failure of one is not the other's", async () => {
  using memory = imageMemory({ getEvents: engine().getEvents });
  const answer = Promise.withResolvers<string | null>();
  const first = memory.of("shell", () => answer.promise);
  const second = memory.of("shell", async () => "its own");
  answer.resolve("one");
  expect([await first, await second]).toEqual(["one", "one"]);

  const failure = Promise.withResolvers<string | null>();
  const failing = memory.of("shell", () => failure.promise);
  const other = memory.of("shell", async () => "its own");
  failure.reject(new Error("given up"));
  await expect(failing).rejects.toThrow("given up");
  expect(await other).toBe("its own");
});
