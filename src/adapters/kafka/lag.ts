/** How far a member of a group is behind in the partitions it has, by what comes with the batches it fetches: nobody is asked for it. */
export interface Lag {
  /** These partitions, by topic, are its own from now on, and no others. */
  assigned(partitions: Readonly<Record<string, readonly number[]>>): void;
  /** A batch from `offset` on, and where the partition ended when it was fetched. */
  fetched(topic: string, partition: number, offset: string, end: string): void;
  /** All before `offset` is acknowledged. */
  acknowledged(topic: string, partition: number, offset: string): void;
  /** Of all its partitions together, by topic. A partition of which nothing was fetched yet counts as none. */
  byTopic(): ReadonlyMap<string, number>;
}

/** Offsets are decimal: they may be beyond what a number holds. */
interface Place {
  at: bigint;
  end: bigint;
}

export function groupLag(): Lag {
  const topics = new Map<string, Map<number, Place>>();
  return {
    assigned(partitions) {
      for (const topic of topics.keys()) if (partitions[topic] === undefined) topics.delete(topic);
      for (const [topic, own] of Object.entries(partitions)) {
        const before = topics.get(topic);
        const kept = own.flatMap((partition) => {
          const place = before?.get(partition);
          return place === undefined ? [] : [[partition, place] as const];
        });
        topics.set(topic, new Map(kept));
      }
    },
    fetched(topic, partition, offset, end) {
      topics.get(topic)?.set(partition, { at: BigInt(offset), end: BigInt(end) });
    },
    acknowledged(topic, partition, offset) {
      const place = topics.get(topic)?.get(partition);
      if (place !== undefined) place.at = BigInt(offset);
    },
    byTopic: () =>
      new Map(
        [...topics].map(([topic, places]) => [topic, [...places.values()].reduce((sum, each) => sum + of(each), 0)]),
      ),
  };
}

/** What was made shorter by its retention may end before where we are. */
const of = ({ at, end }: Place): number => (end > at ? Number(end - at) : 0);
