import type { TaskStore } from "../../src/ports/task-store.ts";
import type { OpenTaskStores } from "../conformance/task-store.ts";
import { handClock } from "./samples.ts";

type OnStores = (
  act: (store: TaskStore, other: TaskStore, clock: ReturnType<typeof handClock>) => Promise<void>,
) => Promise<void>;

/** Does something on two fresh views of one store, whose clock stands still until it is advanced. */
export const onStores =
  (open: OpenTaskStores): OnStores =>
  async (act) => {
    const clock = handClock();
    await using stores = await open(clock);
    await act(stores[0], stores[1], clock);
  };
