import { type Owner, ownerText, parseOwner } from "../../model/owner.ts";

/** What stands on every object we make on an engine. Fixed at create: a label cannot change afterwards. */
export interface OwnershipLabels {
  readonly owner: Owner;
  /** What the object was made for, such as `cold`. */
  readonly pool: string;
  /** Unix milliseconds of the maker's clock. */
  readonly createdAt: number;
}

export const ownerLabel = "tool-executor.owner";
const poolLabel = "tool-executor.pool";
const createdLabel = "tool-executor.created";

export function labelsOf({ owner, pool, createdAt }: OwnershipLabels): Record<string, string> {
  return { [ownerLabel]: ownerText(owner), [poolLabel]: pool, [createdLabel]: String(createdAt) };
}

/** Reads labels back. Null for what {@link labelsOf} did not write: anyone may put labels on an object. */
export function readOwner(labels: Readonly<Record<string, string>>): Owner | null {
  return parseOwner(labels[ownerLabel] ?? "");
}

/** Unix milliseconds, or null when the label is missing or no plausible time. */
export function readCreatedAt(labels: Readonly<Record<string, string>>): number | null {
  const text = labels[createdLabel] ?? "";
  return /^\d{12,14}$/.test(text) ? Number(text) : null;
}
