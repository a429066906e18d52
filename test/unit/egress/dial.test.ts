import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { type DialParts, dialer } from "../../../src/egress/dial.ts";
import { parseExceptions } from "../../../src/egress/policy.ts";
import { ExecutorError } from "../../../src/model/failure.ts";

const never = new AbortController().signal;

/** A dialer of the test: what it connects to is written down, and nothing is. */
function ground(answers: readonly (readonly string[])[], parts: Partial<DialParts> = {}) {
  const asked: string[] = [];
  const connectedTo: string[] = [];
  const dial = dialer({
    async resolve(name) {
      asked.push(name);
      return answers[Math.min(asked.length, answers.length) - 1] ?? [];
    },
    async connect(address, port) {
      connectedTo.push(`${address} ${port}`);
      return new PassThrough();
    },
    exceptions: [],
    resolveMs: 5000,
    connectMs: 5000,
    ...parts,
  });
  return { dial, asked, connectedTo };
}

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return "taken";
  } catch (error) {
    return error instanceof ExecutorError ? error.code : String(error);
  }
};

test("connects to what the name resolved to, and asks for it once", async () => {
  const { dial, asked, connectedTo } = ground([["93.184.216.34"], ["10.0.0.5"]]);
  expect((await dial("api.example.com", 443, never)).address).toBe("93.184.216.34");
  expect(asked).toEqual(["api.example.com"]);
  expect(connectedTo).toEqual(["93.184.216.34 443"]);
});

test("F10 a name that answers otherwise the second time is judged the second time", async () => {
  const { dial, connectedTo } = ground([["93.184.216.34"], ["10.0.0.5"]]);
  await dial("rebind.example", 443, never);
  expect(await codeOf(dial("rebind.example", 443, never))).toBe("policy_denied");
  expect(connectedTo).toEqual(["93.184.216.34 443"]);
});

test.each([
  ["private", ["10.0.0.5"]],
  ["a mixed set, the bad one last", ["93.184.216.34", "10.0.0.5"]],
  ["a mixed set of both families", ["93.184.216.34", "fd12::1"]],
  ["AAAA private", ["fc00::1"]],
  ["loopback, by whatever name", ["127.0.0.1"]],
  ["loopback of IPv6", ["::1"]],
  ["mapped", ["::ffff:10.0.0.5"]],
  ["metadata", ["169.254.169.254"]],
  ["NAT64 of metadata", ["64:ff9b::a9fe:a9fe"]],
  ["with a zone", ["fe80::1%eth0"]],
  ["no address at all: a CNAME that was not followed", ["internal.example"]],
  ["a lenient spelling", ["127.1"]],
  ["more than anybody needs", Array.from({ length: 65 }, (_, n) => `93.184.216.${n}`)],
])("F3 F10 %s is denied, and nothing is connected to", async (_name, addresses) => {
  const { dial, connectedTo } = ground([addresses]);
  expect(await codeOf(dial("api.example.com", 443, never))).toBe("policy_denied");
  expect(connectedTo).toEqual([]);
});

test("a refusal does not tell which address it is", async () => {
  const { dial } = ground([["10.11.12.13"]]);
  await expect(dial("db.example", 443, never)).rejects.toThrow(
    /^denied db.example:443: it leads to an address where no task may go$/,
  );
});

test("an exception opens its range for its host and port", async () => {
  const { dial, connectedTo } = ground([["10.0.0.5"]], {
    exceptions: parseExceptions(["db.example:5432=10.0.0.0/8"], "x"),
  });
  await dial("db.example", 5432, never);
  expect(await codeOf(dial("db.example", 443, never))).toBe("policy_denied");
  expect(connectedTo).toEqual(["10.0.0.5 5432"]);
});

describe("F28 what does not answer leads nowhere", () => {
  test("a resolver that fails, and one without an answer", async () => {
    const failing = ground([], { resolve: () => Promise.reject(new Error("SERVFAIL")) });
    expect(await codeOf(failing.dial("a.example", 443, never))).toBe("internal");
    const empty = ground([[]]);
    expect(await codeOf(empty.dial("a.example", 443, never))).toBe("internal");
    expect([...failing.connectedTo, ...empty.connectedTo]).toEqual([]);
  });

  test("a resolver that throws before it begins", async () => {
    const { dial } = ground([], {
      resolve: () => {
        throw new Error("no resolver");
      },
    });
    expect(await codeOf(dial("a.example", 443, never))).toBe("internal");
  });

  test("a resolver that hangs", async () => {
    const { dial } = ground([], { resolve: () => new Promise(() => undefined), resolveMs: 1 });
    await expect(dial("a.example", 443, never)).rejects.toThrow("a.example was not resolved: no answer within 1 ms");
  });

  test("an address that hangs: the next is tried, and what it opens late is closed", async () => {
    const late = Promise.withResolvers<PassThrough>();
    const tried: string[] = [];
    const { dial } = ground([["93.184.216.34", "93.184.216.35"]], {
      connectMs: 1,
      connect: (address) => {
        tried.push(address);
        return address.endsWith("34") ? late.promise : Promise.resolve(new PassThrough());
      },
    });
    expect((await dial("a.example", 443, never)).address).toBe("93.184.216.35");
    expect(tried).toEqual(["93.184.216.34", "93.184.216.35"]);
    const stream = new PassThrough();
    late.resolve(stream);
    await late.promise;
    await Promise.resolve();
    expect(stream.destroyed).toBe(true);
  });

  test("no more than three addresses are tried", async () => {
    const tried: string[] = [];
    const { dial } = ground([["9.9.9.1", "9.9.9.2", "9.9.9.3", "9.9.9.4"]], {
      connect: (address) => {
        tried.push(address);
        return Promise.reject(Object.assign(new Error("x"), { code: "ECONNREFUSED" }));
      },
    });
    await expect(dial("a.example", 443, never)).rejects.toThrow("a.example:443 was not reached: ECONNREFUSED");
    expect(tried).toHaveLength(3);
  });

  test("a call that is aborted ends with the abort's reason", async () => {
    const controller = new AbortController();
    const { dial, connectedTo } = ground([], { resolve: () => new Promise(() => undefined) });
    const dialling = dial("a.example", 443, controller.signal);
    controller.abort(new Error("the task is over"));
    await expect(dialling).rejects.toThrow("the task is over");
    expect(connectedTo).toEqual([]);
  });
});
