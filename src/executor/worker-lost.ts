import { ExecutorError } from "../model/failure.ts";

/** The reason to end with what runs when it is left to a successor on this host: nothing of it is ended or given back. */
export class HandedOver extends ExecutorError {
  constructor() {
    super("worker_lost", "the executor that ran the task left it to its successor");
  }
}

export const isHandedOver = ({ aborted, reason }: AbortSignal): boolean => aborted && reason instanceof HandedOver;

/** @throws ExecutorError worker_lost, when the fence no longer holds. */
export async function ours(write: Promise<boolean>): Promise<void> {
  if (!(await write)) throw new ExecutorError("worker_lost", "another attempt has the task");
}
