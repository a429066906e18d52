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

/** A line of the engine's events; of what has no name, the ID stands in its place. */
function said(action: string, id: string, name: string | undefined = id): string {
  return `${JSON.stringify({ Type: "image", Action: action, Actor: { ID: id, Attributes: { name, version: "1" } } })}\n`;
}

/** Until it is heard. */
async function tell(stream: PassThrough, said: string | Buffer): Promise<void> {
  stream.write(said);
  await vi.waitFor(() => expect(stream.readableLength).toBe(0));
}

/** How often `look` was asked for something that is there. */
function looking() {
  const look = vi.fn(async () => ({ id: String(look.mock.calls.length) }));
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
  expect(await memory.of("shell", look)).toEqual({ id: "1" });
  expect(await memory.of("shell", look)).toEqual({ id: "1" });
  expect(await memory.of("python", look)).toEqual({ id: "2" });
  expect(look).toHaveBeenCalledTimes(2);
});

test.each([
  ["another gets a tag of its repository", said("tag", "sha256:9", "registry.example/shell:2")],
  ["its repository is pulled", said("pull", "registry.example/shell:2", "registry.example/shell")],
  ["it loses a name", said("untag", "1")],
  ["it is deleted", said("delete", "1")],
])("when %s it is looked for again, and nothing else is", async (_, event) => {
  const { memory, look, stream } = await listening();
  using _memory = memory;
  await memory.of("shell", look);
  await memory.of("python", look);
  await tell(stream, event);
  expect(await memory.of("shell", look)).toEqual({ id: "3" });
  expect(await memory.of("python", look)).toEqual({ id: "2" });
});

test("what others build, pull and remove has nothing looked for again", async () => {
  const { memory, look, stream } = await listening();
  using _memory = memory;
  await memory.of("shell", look);
  const others = [
    said("tag", "sha256:8", "other:1"),
    said("pull", "other:1", "other"),
    ...["untag", "delete", "save", "push"].map((action) => said(action, "sha256:8")),
    said("prune", "", undefined),
  ];
  for (const event of others) await tell(stream, event);
  await tell(stream, others.join(""));
  expect(await memory.of("shell", look)).toEqual({ id: "1" });
  expect(look).toHaveBeenCalledTimes(1);
});

test("a line that comes in pieces is one", async () => {
  const { memory, look, stream } = await listening();
  using _memory = memory;
  await memory.of("shell", look);
  const line = Buffer.from(said("tag", "sha256:9", "örtlich/shell:1"));
  for (const byte of line) await tell(stream, Buffer.of(byte));
  expect(await memory.of("shell", look)).toEqual({ id: "2" });
});

test.each([
  ["loads one", said("load", "sha256:8")],
  ["imports one", said("import", "sha256:8")],
  ["says what nobody knows", "{}\n"],
  ["says what is no JSON", "oops\n"],
  ["says no end of it", "x".repeat(1_100_000)],
])("when the engine %s, what is known is given at once, and looked for again beside", async (_, event) => {
  using it = await aged();
  it.stream.write(event);
  await vi.advanceTimersByTimeAsync(0);
  expect(await it.memory.of("shell", it.look)).toEqual({ id: "3" });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(it.look).toHaveBeenCalledTimes(4);
  expect(await it.memory.of("shell", it.look)).toEqual({ id: "4" });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(it.look).toHaveBeenCalledTimes(4);
});

/** Into whose look of that number an event comes that does not say whose it is. */
function disturbed(number: number, stream: PassThrough) {
  const look = vi.fn(async () => {
    if (look.mock.calls.length === number) stream.write(said("load", "sha256:8"));
    await vi.advanceTimersByTimeAsync(0);
    return { id: `of look ${look.mock.calls.length}` };
  });
  return look;
}

test("a look beside that another such change comes into is made again", async () => {
  using it = await aged();
  const look = disturbed(2, it.stream);
  await it.memory.of("python", look);
  it.stream.write(said("load", "sha256:8"));
  await vi.advanceTimersByTimeAsync(0);
  expect(await it.memory.of("python", look)).toEqual({ id: "of look 1" });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await it.memory.of("python", look)).toEqual({ id: "of look 3" });
  expect(look).toHaveBeenCalledTimes(3);
});

test("after such a change, a look beside that fails has it looked for by whoever asks next", async () => {
  using it = await aged();
  const givenUp = vi.fn(async (): Promise<{ id: string }> => {
    if (givenUp.mock.calls.length > 1) throw new Error("given up");
    return { id: "first" };
  });
  await it.memory.of("python", givenUp);
  it.stream.write(said("load", "sha256:8"));
  await vi.advanceTimersByTimeAsync(5_000);
  expect(givenUp).toHaveBeenCalledTimes(2);
  expect(await it.memory.of("python", async () => ({ id: "next" }))).toEqual({ id: "next" });
});

test("a first look that such a change comes into is made again, too", async () => {
  using it = await aged();
  const look = disturbed(1, it.stream);
  expect(await it.memory.of("python", look)).toEqual({ id: "of look 1" });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await it.memory.of("python", look)).toEqual({ id: "of look 2" });
  expect(look).toHaveBeenCalledTimes(2);
});

test.each([
  ["another is tagged", said("tag", "sha256:new", "shell:2")],
  ["it is deleted", said("delete", "sha256:old")],
])("what was asked before a change (%s) and answered after it counts for who asked only", async (_, event) => {
  const { memory, stream } = await listening();
  using _memory = memory;
  const answer = Promise.withResolvers<{ id: string }>();
  const asked = memory.of("shell", () => answer.promise);
  await tell(stream, event);
  const later = memory.of("shell", async () => ({ id: "sha256:new" }));
  answer.resolve({ id: "sha256:old" });
  expect(await asked).toEqual({ id: "sha256:old" });
  expect(await later).toEqual({ id: "sha256:new" });
  expect(await memory.of("shell", async () => ({ id: "newer" }))).not.toEqual({ id: "sha256:old" });
});

test("what is not there is looked for every time", async () => {
  const { memory } = await listening();
  using _memory = memory;
  expect(await memory.of("ruby", async () => null)).toBeNull();
  expect(await memory.of("ruby", async () => ({ id: "there" }))).toEqual({ id: "there" });
});

test("a failure is the asker's, and is not remembered", async () => {
  const { memory } = await listening();
  using _memory = memory;
  await expect(memory.of("shell", () => Promise.reject(new Error("away")))).rejects.toThrow("away");
  expect(await memory.of("shell", async () => ({ id: "there" }))).toEqual({ id: "there" });
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
  expect(await memory.of("shell", look)).toEqual({ id: "3" });
  return {
    ...{ memory, look, stream: streams[0] as PassThrough },
    [Symbol.dispose]() {
      memory[Symbol.dispose]();
      vi.useRealTimers();
    },
  };
}

test("after half a minute what is known is still given at once, and looked for again beside", async () => {
  using it = await aged();
  await vi.advanceTimersByTimeAsync(29_000);
  expect(await it.memory.of("shell", it.look)).toEqual({ id: "3" });
  await vi.advanceTimersByTimeAsync(2_000);
  expect(it.look).toHaveBeenCalledTimes(3);
  expect(await it.memory.of("shell", it.look)).toEqual({ id: "3" });
  expect(await it.memory.of("shell", it.look)).toEqual({ id: "3" });
  expect(it.look).toHaveBeenCalledTimes(3);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(it.look).toHaveBeenCalledTimes(4);
  expect(await it.memory.of("shell", it.look)).toEqual({ id: "4" });
});

test("a look beside that finds nothing has it looked for by whoever asks next; one that fails does not", async () => {
  using it = await aged();
  await vi.advanceTimersByTimeAsync(31_000);
  await it.memory.of("shell", () => Promise.reject(new Error("away")));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await it.memory.of("shell", async () => null)).toEqual({ id: "3" });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await it.memory.of("shell", async () => null)).toBeNull();
});

test("after ten minutes it is looked for before it is given", async () => {
  using it = await aged();
  await vi.advanceTimersByTimeAsync(601_000);
  expect(await it.memory.of("shell", it.look)).toEqual({ id: "4" });
});

test("dispose lets go of the engine", async () => {
  const { memory, stream } = await listening();
  memory[Symbol.dispose]();
  expect(stream.destroyed).toBe(true);
});

test("two that ask at once wait for one look, and the failure of one is not the other's", async () => {
  using memory = imageMemory({ getEvents: engine().getEvents });
  const answer = Promise.withResolvers<{ id: string } | null>();
  const first = memory.of("shell", () => answer.promise);
  const second = memory.of("shell", async () => ({ id: "its own" }));
  answer.resolve({ id: "one" });
  expect([await first, await second]).toEqual([{ id: "one" }, { id: "one" }]);

  const failure = Promise.withResolvers<{ id: string } | null>();
  const failing = memory.of("shell", () => failure.promise);
  const other = memory.of("shell", async () => ({ id: "its own" }));
  failure.reject(new Error("given up"));
  await expect(failing).rejects.toThrow("given up");
  expect(await other).toEqual({ id: "its own" });
});
