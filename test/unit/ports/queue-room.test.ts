import { describe, expect, test } from "vitest";
import { exactUpTo, queueRoom } from "../../../src/ports/queue-room.ts";
import { unbounded } from "../../../src/ports/task-store.ts";

const large = { perTenant: 10_000, inAll: 100_000 };
const ofTenant = { kind: "full", of: "tenant", maxCount: 10_000 };

function handRoom(bounds = large) {
  let now = 0;
  const room = queueRoom(bounds, () => now);
  return {
    ...room,
    pass(ms: number): void {
      now += ms;
    },
  };
}

describe("room in the queue", () => {
  test("within a small bound is counted for every task; without a bound never", () => {
    const small = handRoom({ perTenant: exactUpTo, inAll: exactUpTo });
    for (const _time of [1, 2]) {
      const look = small.look("acme");
      expect(look).toMatchObject({ full: null, countTenant: true, countAll: true });
      expect(look.counted(exactUpTo, 3)).toMatchObject({ of: "tenant" });
    }
    expect(handRoom(unbounded).look("acme")).toMatchObject({ full: null, countTenant: false, countAll: false });
  });

  test("within a large bound is counted once, and then known for a moment with what came", () => {
    const room = handRoom();
    const first = room.look("acme");
    expect(first.counted(9_998, 9_998)).toBeNull();
    first.inserted();
    const second = room.look("acme");
    expect(second).toMatchObject({ full: null, countTenant: false, countAll: false });
    second.inserted();
    expect(room.look("acme").full).toEqual(ofTenant);
    expect(room.look("other")).toMatchObject({ full: null, countTenant: true, countAll: false });
    room.pass(200);
    expect(room.look("acme")).toMatchObject({ full: null, countTenant: true, countAll: true });
  });

  test("that was counted to be none is none for a moment, without a further count", () => {
    const room = handRoom();
    expect(room.look("acme").counted(10_000, 50_000)).toEqual(ofTenant);
    room.pass(199);
    expect(room.look("acme").full).toEqual(ofTenant);
    room.pass(1);
    expect(room.look("acme").full).toBeNull();
  });

  test("that takes long to count is counted that much less often", () => {
    const room = handRoom();
    const look = room.look("acme");
    room.pass(100);
    look.counted(5, 5);
    room.pass(1999);
    expect(room.look("acme")).toMatchObject({ countTenant: false, countAll: false });
    room.pass(1);
    expect(room.look("acme")).toMatchObject({ countTenant: true, countAll: true });
  });

  test("in all is met by other tenants' tasks", () => {
    const room = handRoom({ perTenant: 10_000, inAll: 20_000 });
    const look = room.look("acme");
    look.counted(0, 19_999);
    look.inserted();
    expect(room.look("other").full).toEqual({ kind: "full", of: "all", maxCount: 20_000 });
  });
});
