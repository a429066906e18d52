import { type Intake, type QueueBounds, unbounded } from "./task-store.ts";

type Full = Extract<Intake, { readonly kind: "full" }>;

/** What one intake is to count before it inserts. */
export interface Look {
  /** The bound that is known to be met, without counting; null: none is. */
  readonly full: Full | null;
  readonly countTenant: boolean;
  readonly countAll: boolean;
  /** Tells what was counted; null: what was not. Answers the bound that is met. */
  counted(ofTenant: number | null, inAll: number | null): Full | null;
  inserted(): void;
}

/**
 * How many tasks wait, known well enough to keep the bounds without counting up to them for every task that comes: in a flood that
 * would be most of the work. A bound up to {@link exactUpTo} is counted each time. Of a larger one what was counted last, with what
 * this process has added since, is believed for a moment.
 */
export interface QueueRoom {
  look(tenantId: string): Look;
}

export const exactUpTo = 1000;

/** Counting again takes no more than this share of the time. */
const share = 1 / 20;
const atLeastMs = 200;
const atMostMs = 5000;

interface Estimate {
  count: number;
  /** When it is too old to go by. */
  staleAt: number;
}

export function queueRoom(bounds: QueueBounds, monotonicMs: () => number): QueueRoom {
  const all = fresh();
  const tenants = new Map<string, Estimate>();
  const ofTenant = (tenantId: string, now: number): Estimate => {
    const known = tenants.get(tenantId);
    if (known !== undefined) return known;
    if (tenants.size >= maxTenants) forgetStale(tenants, now);
    const estimate = fresh();
    tenants.set(tenantId, estimate);
    return estimate;
  };

  return {
    look(tenantId) {
      const now = monotonicMs();
      const tenant = ofTenant(tenantId, now);
      const [countTenant, countAll] = [mustCount(tenant, bounds.perTenant, now), mustCount(all, bounds.inAll, now)];
      const met = (isTenantKnown: boolean, isAllKnown: boolean): Full | null => {
        if (isTenantKnown && tenant.count >= bounds.perTenant)
          return { kind: "full", of: "tenant", maxCount: bounds.perTenant };
        if (isAllKnown && all.count >= bounds.inAll) return { kind: "full", of: "all", maxCount: bounds.inAll };
        return null;
      };
      return {
        ...{ full: met(!countTenant, !countAll), countTenant, countAll },
        counted(tenantCount, allCount) {
          const after = monotonicMs();
          const staleAt = after + Math.min(atMostMs, Math.max(atLeastMs, (after - now) / share));
          if (tenantCount !== null) Object.assign(tenant, { count: tenantCount, staleAt });
          if (allCount !== null) Object.assign(all, { count: allCount, staleAt });
          return met(true, true);
        },
        inserted() {
          tenant.count += 1;
          all.count += 1;
        },
      };
    },
  };
}

const fresh = (): Estimate => ({ count: 0, staleAt: Number.NEGATIVE_INFINITY });

/** What no count reaches is no bound. */
const mustCount = ({ staleAt }: Estimate, max: number, now: number): boolean =>
  max < unbounded.inAll && (max <= exactUpTo || now >= staleAt);

const maxTenants = 10_000;

function forgetStale(tenants: Map<string, Estimate>, now: number): void {
  for (const [tenantId, { staleAt }] of tenants) if (staleAt <= now) tenants.delete(tenantId);
}
