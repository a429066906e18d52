import { letterOf, letterSummary } from "../model/letter-summary.ts";
import type { LetterQuery, LettersFront } from "../ports/front.ts";
import type { TaskStore } from "../ports/task-store.ts";

const pageSize = 200;

/** What a store tells of its dead letters. */
export function lettersOf(store: TaskStore): LettersFront {
  return {
    async letters({ tenantId, reason, olderThan, limit }: LetterQuery, signal) {
      const found = [];
      let before = olderThan;
      for (;;) {
        const filter = { ...(tenantId !== null && { tenantId }), ...(before !== null && { olderThan: before }) };
        const page = await store.listLetters({ ...filter, limit: reason === null ? limit : pageSize }, signal);
        for (const head of page) {
          if (found.length === limit) break;
          before = head.id;
          const summary = letterSummary(head);
          if (reason === null || summary.reason === reason) found.push(summary);
        }
        const isLast = page.length < (reason === null ? limit : pageSize);
        if (found.length === limit) return { letters: found, next: before };
        if (isLast) return { letters: found, next: null };
      }
    },
    async letter(id, tenantId, signal) {
      const row = await store.getLetter(id, signal);
      return row === null || (tenantId !== null && row.key?.tenantId !== tenantId) ? null : letterOf(row);
    },
  };
}
