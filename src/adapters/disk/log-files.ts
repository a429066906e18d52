import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { TaskKey } from "../../model/task.ts";

/** The file that the file log sink writes for one attempt. */
export const logFile = (root: string, { tenantId, taskId }: TaskKey, attempt: number): string =>
  join(root, tenantId, `${taskId}.${attempt}.ndjson`);

/** Takes away what the file log sink kept of a task's attempts up to this one; nothing there is no error. */
export async function removeLogFiles(root: string, key: TaskKey, lastAttempt: number): Promise<void> {
  for (let attempt = 1; attempt <= lastAttempt; attempt++) await rm(logFile(root, key, attempt), { force: true });
  // The tenant's folder, where that was its last; otherwise it stays.
  await rmdir(join(root, key.tenantId)).catch(() => undefined);
}
