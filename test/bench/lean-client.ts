import { connect, type Socket } from "node:net";

/** An answer over HTTP/1.1 whose length stands in its head. */
export interface LeanAnswer {
  readonly status: number;
  readonly body: string;
  /** From the first byte of the request, which was made before, to the last one of the answer, which is read afterwards. */
  readonly tookMs: number;
}

/** Connections that are kept, each for one request at a time. */
export interface LeanClient extends Disposable {
  post(path: string, body: string): Promise<LeanAnswer>;
}

/**
 * As little of a client as can be, for what is timed: Node's own spends half a millisecond of the processor on one request and its answer, which
 * would be counted with the server's.
 */
export function leanClient(address: string): LeanClient {
  const { hostname, port } = new URL(address);
  const idle: Socket[] = [];
  const all = new Set<Socket>();
  const opened = async (): Promise<Socket> => {
    const socket = connect(Number(port), hostname).setNoDelay(true);
    all.add(socket);
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    // Later on, whoever uses it hears of its close.
    socket.once("connect", () => resolve(socket)).on("error", reject);
    // A server closes what nobody has used for a while.
    socket.once("close", () => {
      all.delete(socket);
      const at = idle.indexOf(socket);
      if (at >= 0) idle.splice(at, 1);
    });
    return await promise;
  };

  return {
    async post(path, body) {
      const socket = idle.pop() ?? (await opened());
      const head = `POST ${path} HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
      const { promise, resolve, reject } = Promise.withResolvers<{ whole: string; endedAt: number }>();
      let came = "";
      let wholeLength = 0;
      const onData = (chunk: string): void => {
        came += chunk;
        if (wholeLength === 0) {
          const bodyAt = came.indexOf("\r\n\r\n") + 4;
          if (bodyAt < 4) return;
          const length = /\r\ncontent-length: (\d+)\r\n/i.exec(came)?.[1];
          if (length === undefined) reject(new Error(`an answer without a length: ${came.slice(0, 1000)}`));
          wholeLength = bodyAt + Number(length);
        }
        if (came.length >= wholeLength) resolve({ whole: came, endedAt: performance.now() });
      };
      const onClose = (): void => reject(new Error(`the server closed the connection: ${came.slice(0, 1000)}`));
      // One character a byte, so that lengths can be compared.
      socket.setEncoding("latin1").on("data", onData).once("close", onClose);
      const startedAt = performance.now();
      socket.write(head + body);
      const { whole, endedAt } = await promise;
      socket.off("data", onData).off("close", onClose);
      idle.push(socket);
      const answer = Buffer.from(whole.slice(whole.indexOf("\r\n\r\n") + 4), "latin1");
      return { status: Number(whole.slice(9, 12)), body: answer.toString(), tookMs: endedAt - startedAt };
    },
    [Symbol.dispose]() {
      for (const socket of all) socket.destroy();
    },
  };
}
