import type { FailureDetail } from "../model/failure.ts";
import { quoted } from "../model/quoted.ts";

/** How far ahead a task may be put off. */
export const maxAheadMs = 7 * 24 * 60 * 60 * 1000;

/**
 * What is wrong with a request's times; their form has been checked. An `expires_at` that has passed is no problem here:
 * such a task ends `expired`.
 */
export function timeProblems(
  notBefore: string | null,
  expiresAt: string | null,
  now: number,
): readonly FailureDetail[] {
  const details: FailureDetail[] = [];
  const wrong = (path: string, message: string): void => void details.push({ path, message });
  const startAt = notBefore === null ? null : Date.parse(notBefore);
  const endAt = expiresAt === null ? null : Date.parse(expiresAt);
  // A month 13 has the right form and is no time.
  if (Number.isNaN(startAt))
    wrong("/not_before", `not_before is ${quoted(notBefore ?? "")}, which is no time of the calendar`);
  if (Number.isNaN(endAt))
    wrong("/expires_at", `expires_at is ${quoted(expiresAt ?? "")}, which is no time of the calendar`);
  if (startAt !== null && startAt > now + maxAheadMs) {
    const latest = new Date(now + maxAheadMs).toISOString();
    wrong("/not_before", `not_before is ${notBefore}, at most 7 days ahead (${latest})`);
  }
  if (startAt !== null && endAt !== null && endAt <= startAt) {
    wrong(
      "/expires_at",
      `expires_at is ${expiresAt}, which is not after not_before (${notBefore}): the task could never run`,
    );
  }
  return details;
}
