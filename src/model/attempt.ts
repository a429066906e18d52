import type { Owner } from "./owner.ts";
import type { TaskKey } from "./task.ts";

/** One try of a task. `number` counts from 1; with the owner it is the fence of every later write. */
export interface Attempt {
  readonly key: TaskKey;
  readonly number: number;
  readonly owner: Owner;
}

/** Where the attempt's objects stand in the object store. Made of checked ids only, so a task cannot steer it. */
export const attemptPrefix = ({ key, number }: Pick<Attempt, "key" | "number">): string =>
  `tasks/${key.tenantId}/${key.taskId}/${number}`;
