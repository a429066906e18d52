/** Room for one sandbox, held until dispose. */
export type Slot = Disposable;

/** How many sandboxes this process has at once, and who is next. */
export interface Slots {
  /**
   * Waits for room. Room goes to the tenant that has least of it, and among equals to who waited longest, so that one
   * tenant's flood delays another's task by one task and not by the flood.
   * @throws the signal's reason when it aborts first; no room is held then.
   */
  take(tenantId: string, signal: AbortSignal): Promise<Slot>;
}

interface Waiting {
  readonly tenantId: string;
  readonly enter: (slot: Slot) => void;
}

/** Slots for `count` sandboxes, at least 1. */
export function fairSlots(count: number): Slots {
  const held = new Map<string, number>();
  const waiting = new Set<Waiting>();
  let free = count;
  const heldBy = (tenantId: string): number => held.get(tenantId) ?? 0;

  const slotFor = (tenantId: string): Slot => {
    free -= 1;
    held.set(tenantId, heldBy(tenantId) + 1);
    let isHeld = true;
    return {
      [Symbol.dispose]() {
        if (!isHeld) return;
        isHeld = false;
        free += 1;
        const rest = heldBy(tenantId) - 1;
        if (rest > 0) held.set(tenantId, rest);
        else held.delete(tenantId);
        admit();
      },
    };
  };

  const admit = (): void => {
    // Insertion order is age: only fewer slots beat a longer wait.
    let next: Waiting | null = null;
    for (const each of waiting) if (next === null || heldBy(each.tenantId) < heldBy(next.tenantId)) next = each;
    if (next === null || free === 0) return;
    waiting.delete(next);
    next.enter(slotFor(next.tenantId));
  };

  return {
    async take(tenantId, signal) {
      signal.throwIfAborted();
      if (free > 0) return slotFor(tenantId);
      const { promise, resolve, reject } = Promise.withResolvers<Slot>();
      const entry: Waiting = { tenantId, enter: resolve };
      const onAbort = (): void => {
        // Let in a moment ago: the slot is on its way to the caller, who disposes of it.
        if (waiting.delete(entry)) reject(signal.reason);
      };
      waiting.add(entry);
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        return await promise;
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    },
  };
}
