import { Duplex } from "node:stream";
import { ExecutorError } from "../model/failure.ts";

/** Bytes of one connection: out to the host, in to the task. */
export interface Traffic {
  bytesIn: number;
  bytesOut: number;
}

/** What all connections of a task may carry together, both ways. */
export interface ByteBudget {
  readonly maxBytes: number;
  spentBytes: number;
}

export interface MeterCaps {
  readonly budget: ByteBudget;
  /** Without a byte either way. */
  readonly idleMs: number;
  readonly totalMs: number;
}

/**
 * The same stream, counted and bounded: over a cap it is destroyed, with an error that names the cap. Whoever has it needs the inner one no
 * more. One that the other side cuts off ends with an error too.
 */
export function metered(inner: Duplex, caps: MeterCaps, traffic: Traffic): Duplex {
  const { budget, idleMs, totalMs } = caps;
  const cut = (what: string): void => void outer.destroy(new ExecutorError("policy_denied", what));
  const idle = setTimeout(() => cut(`it was idle for ${idleMs} ms, the most that is allowed`), idleMs);
  const total = setTimeout(() => cut(`it was open for ${totalMs} ms, the most that is allowed`), totalMs);
  const spend = (way: keyof Traffic, bytes: number): boolean => {
    idle.refresh();
    traffic[way] += bytes;
    budget.spentBytes += bytes;
    if (budget.spentBytes <= budget.maxBytes) return true;
    cut(`the task's connections carried ${budget.maxBytes} bytes, the most that is allowed`);
    return false;
  };
  const outer = new Duplex({
    read: () => void inner.resume(),
    write(bytes: Buffer, _encoding, done) {
      if (spend("bytesOut", bytes.length)) inner.write(bytes, done);
      else done();
    },
    final: (done) => void inner.end(done),
    destroy(error, done) {
      clearTimeout(idle);
      clearTimeout(total);
      inner.destroy();
      done(error);
    },
  });
  // Nobody may be there to hear of it: the passage's event tells.
  outer.on("error", () => undefined);
  inner.pause();
  inner.on("data", (bytes: Buffer) => {
    if (spend("bytesIn", bytes.length) && !outer.push(bytes)) inner.pause();
  });
  inner.on("end", () => outer.push(null));
  inner.on("error", (error) => outer.destroy(error));
  inner.on("close", () => {
    if (!inner.readableEnded) outer.destroy(new Error("the other side closed it"));
  });
  return outer;
}
