import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { type EngineMessage, engineMessage, engineMessages } from "../../../../src/adapters/docker/image-messages.ts";

async function all(messages: AsyncIterable<EngineMessage>): Promise<readonly EngineMessage[]> {
  const list: EngineMessage[] = [];
  for await (const message of messages) list.push(message);
  return list;
}

test.each<[string, string, EngineMessage]>([
  ["a line of a build", '{"stream":"Step 1/2 : RUN x\\n"}', { kind: "text", text: "Step 1/2 : RUN x\n" }],
  ["the image that came out", '{"aux":{"ID":"sha256:ab"}}', { kind: "image", id: "sha256:ab" }],
  ["a failure", '{"errorDetail":{"message":"no"},"error":"no"}', { kind: "error", text: "no" }],
  ["a layer of a pull", '{"status":"Downloading","id":"ab12"}', { kind: "text", text: "ab12: Downloading" }],
  ["a pull's last word", '{"status":"Status: up to date"}', { kind: "text", text: "Status: up to date" }],
  ["what is no message", "<html>", { kind: "text", text: "<html>" }],
  ["a JSON value that is no object", "null", { kind: "text", text: "null" }],
])("the engine's answer is understood: %s", (_what, line, expected) => {
  expect(engineMessage(line)).toEqual(expected);
});

describe("messages are whole however the answer is cut", () => {
  const text = `${JSON.stringify({ stream: "añb" })}\r\n\n${JSON.stringify({ error: "é" })}`;

  test.each([1, 2, 3, 7, 1000])("in pieces of %i bytes", async (size) => {
    const bytes = Buffer.from(text);
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size),
    );
    const messages = await all(engineMessages(Readable.from(pieces)));
    expect(messages).toEqual([
      { kind: "text", text: "añb" },
      { kind: "error", text: "é" },
    ]);
  });
});

test("a connection that breaks is an error, not an end", async () => {
  const answer = Readable.from(
    (async function* () {
      yield Buffer.from('{"stream":"a"}\n');
      throw new Error("connection reset");
    })(),
  );
  await expect(all(engineMessages(answer))).rejects.toThrow("connection reset");
});

test("who stops listening ends the answer", async () => {
  const answer = Readable.from([Buffer.from('{"error":"no"}\n'), Buffer.from('{"stream":"more"}\n')]);
  for await (const message of engineMessages(answer)) {
    expect(message.kind).toBe("error");
    break;
  }
  expect(answer.destroyed).toBe(true);
});
