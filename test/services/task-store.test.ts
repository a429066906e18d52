import { defaultCallBounds, postgresTaskStore } from "../../src/adapters/postgres/postgres-task-store.ts";
import { taskStoreConformance } from "../conformance/task-store.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { freshDatabase, underClock } from "../support/fresh-database.ts";
import { never } from "../support/samples.ts";
import { startPostgres } from "../support/services.ts";

const postgres = forThisFile(startPostgres);

taskStoreConformance("postgres, two stores on one database", async (clock, queue) => {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await freshDatabase(postgres()));
  const clocked = await underClock(database, clock);
  const [one, other] = [
    stack.use(await postgresTaskStore(database.address, never(), defaultCallBounds, queue)),
    stack.use(await postgresTaskStore(database.address, never(), defaultCallBounds, queue)),
  ];
  const held = stack.move();
  return Object.assign([clocked(one), clocked(other)] as const, {
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  });
});
