// The process of engine-proxy.ts. Its own, so that what passes through is not counted as memory of what is tested.
import type { ProxyCommand, ProxyOrder, ProxyReport } from "./engine-proxy.ts";
import { engineWire, type Spoiler } from "./engine-wire.ts";
import { seededRandom } from "./random.ts";
import { type Fault, type FaultPlan, faults, spoiledFrames } from "./spoiled-frames.ts";

const tell = (report: ProxyReport): void => void process.send?.(report);
const { enginePath, socketPath, seed, spoil } = JSON.parse(process.argv[2] ?? "{}") as ProxyOrder;
const random = seededRandom(seed);
const met: Fault[] = [];

/** Each fault in turn, some random way apart, up to `lastByte`: behind the last one enough follows to notice it. */
function plan({ meanBytes, lastByte }: NonNullable<ProxyOrder["spoil"]>): FaultPlan {
  let nextAt = meanBytes * (0.5 + random());
  let total = 0;
  let last = 0;
  return (passedBytes) => {
    // Every attach counts from nothing.
    total += Math.max(0, passedBytes - last);
    last = passedBytes;
    if (total < nextAt || total > lastByte) return null;
    nextAt = total + meanBytes * (0.5 + random());
    const fault = faults[met.length % faults.length] ?? "garbage";
    met.push(fault);
    return fault;
  };
}

const planned = spoil === null ? null : plan(spoil);
const spoiler: Spoiler = (direction) =>
  spoiledFrames(planned !== null && direction === spoil?.direction ? planned : () => null, random);
const wire = await engineWire(enginePath, socketPath, spoiler);

process.on("message", (command: ProxyCommand) => {
  switch (command) {
    case "freeze":
      wire.freeze();
      break;
    case "thaw":
      wire.thaw();
      break;
    case "report":
      break;
  }
  tell({ met });
});
process.on("disconnect", () => process.exit(0));
tell({ met });
