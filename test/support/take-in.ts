// A process of its own for test/integration/sqlite-processes.test.ts: takes the same tasks in as its siblings,
// leases what it can get, and prints what it got. Arguments: the store's file, the number of tasks, an owner's pid.

import { sqliteTaskStore } from "../../src/adapters/sqlite/sqlite-task-store.ts";
import { leaseOne } from "./lease-one.ts";
import { anOwner, aTask, never } from "./samples.ts";

const [path = "", count = "0", pid = "1"] = process.argv.slice(2);
await using store = sqliteTaskStore(path, { now: () => Date.now(), monotonicMs: () => performance.now() });
let accepted = 0;
for (let number = 0; number < Number(count); number++) {
  const intake = await store.intake(aTask({ task_id: `t-${number}` }), "h1", never());
  if (intake.kind === "accepted") accepted += 1;
}
const leased: string[] = [];
for (let attempt = await leaseOne(store, anOwner(Number(pid)), 1000); attempt !== null; ) {
  leased.push(attempt.key.taskId);
  attempt = await leaseOne(store, anOwner(Number(pid)), 1000);
}
process.stdout.write(JSON.stringify({ accepted, leased }));
