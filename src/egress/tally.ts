import type { ResultEgress } from "../model/result.ts";
import type { EgressEvent } from "./passage.ts";

export interface EgressTally {
  add(event: EgressEvent): void;
  /** At most {@link maxRecords}, in the order of their first event. */
  records(): readonly ResultEgress[];
  /** Both ways. */
  totalBytes(): number;
  /** Of all, those beyond the records too. */
  connections(): number;
}

export const maxRecords = 100;

/** What of a task's events its result has: what it may know, and no more of it than fits. */
export function egressTally(): EgressTally {
  const records = new Map<string, ResultEgress>();
  let [totalBytes, connections] = [0, 0];
  return {
    add({ host, port, verdict, why, hint, bytesIn, bytesOut }) {
      connections += 1;
      totalBytes += bytesIn + bytesOut;
      const key = JSON.stringify([host, port, verdict, hint]);
      const before = records.get(key);
      if (before === undefined && records.size >= maxRecords) return;
      records.set(key, {
        host: host === "" ? null : host,
        port,
        verdict,
        bytes_in: (before?.bytes_in ?? 0) + bytesIn,
        bytes_out: (before?.bytes_out ?? 0) + bytesOut,
        connections: (before?.connections ?? 0) + 1,
        why: before?.why ?? why,
        hint,
      });
    },
    records: () => [...records.values()],
    totalBytes: () => totalBytes,
    connections: () => connections,
  };
}
