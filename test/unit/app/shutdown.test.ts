import { EventEmitter } from "node:events";
import { describe, expect, test } from "vitest";
import { takeSignals } from "../../../src/app/shutdown.ts";

/** A process of which only the signals are there. */
class SignalsOnly extends EventEmitter {
  readonly exits: number[] = [];
  exit(code: number): void {
    this.exits.push(code);
  }
}

describe("the signals of a process that serves", () => {
  test("the first drains, the second ends what runs, the third ends the process, whichever they are", () => {
    const source = new SignalsOnly();
    using shutdown = takeSignals(source, new AbortController().signal);
    const stage = () => [shutdown.drain.aborted, shutdown.now.aborted, source.exits.length];
    expect(stage()).toEqual([false, false, 0]);
    source.emit("SIGTERM");
    expect(stage()).toEqual([true, false, 0]);
    source.emit("SIGINT");
    expect(stage()).toEqual([true, true, 0]);
    source.emit("SIGHUP");
    expect(source.exits).toEqual([130]);
  });

  test("one that came before it was listened to counts", () => {
    const before = new AbortController();
    before.abort();
    using shutdown = takeSignals(new SignalsOnly(), before.signal);
    expect(shutdown.drain.aborted).toBe(true);
  });

  test("are given back to whoever had them", () => {
    const source = new SignalsOnly();
    let heard = 0;
    source.on("SIGTERM", () => {
      heard += 1;
    });
    {
      using _shutdown = takeSignals(source, new AbortController().signal);
      source.emit("SIGTERM");
      expect(heard).toBe(0);
    }
    source.emit("SIGTERM");
    expect(heard).toBe(1);
    expect(source.listenerCount("SIGTERM")).toBe(1);
  });
});
