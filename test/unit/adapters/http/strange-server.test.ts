import { expect, test } from "vitest";
import { httpFront } from "../../../../src/adapters/http/client/http-front.ts";
import { ExecutorError } from "../../../../src/model/failure.ts";
import { logStart } from "../../../../src/model/log-position.ts";
import { never } from "../../../support/samples.ts";
import { strangeAnswers, strangeServer } from "../../../support/strange-answers.ts";

test.each(strangeAnswers)("%s a server that answers with %s is one clear failure", async (_row, _name, answer) => {
  await using server = await strangeServer(answer);
  const apiKey = `tx_0123456789ab_${"s".repeat(43)}`;
  const front = httpFront({ kind: "url", url: server.url, apiKey });
  const filter = { tenantId: "default", limit: 50, states: null, olderThan: null };
  const failure = await front.list(filter, never()).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ExecutorError);
  expect(failure).toMatchObject({ message: expect.stringMatching(/^.{1,200}$/s) });
  expect((failure as ExecutorError).code).not.toBe("ok");
  expect(`${failure} ${(failure as ExecutorError).hint}`).not.toContain("ssss");
});

test("G28 events in a line without an end are one clear failure, within bounds", async () => {
  const head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n";
  const piece = Buffer.alloc(64 * 1024, "x");
  let sentBytes = 0;
  await using server = await strangeServer((socket) => {
    const go = (): void => {
      while (!socket.destroyed && socket.write(piece)) sentBytes += piece.length;
    };
    socket.on("drain", go);
    socket.write(head);
    go();
  });
  const front = httpFront({ kind: "url", url: server.url, apiKey: "" });
  const reading = async (): Promise<void> => {
    const key = { tenantId: "default", taskId: "t-1" };
    for await (const _event of front.events(key, logStart, true, never()));
  };
  await expect(reading()).rejects.toMatchObject({
    code: "internal",
    message: expect.stringContaining("without an end"),
  });
  expect(sentBytes).toBeLessThan(64 * 1024 * 1024);
});
