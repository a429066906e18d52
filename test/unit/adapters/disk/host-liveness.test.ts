import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hostLiveness } from "../../../../src/adapters/disk/host-liveness.ts";
import { startOf } from "../../../../src/adapters/disk/process-owner.ts";
import { ownerText, parseOwner } from "../../../../src/model/owner.ts";
import { liveProcess } from "../../../support/live-process.ts";

const never = new AbortController().signal;

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "live-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe("a process that says it lives", () => {
  test("has a name that survives being written down", async () => {
    await using liveness = await hostLiveness(folder);
    expect(parseOwner(ownerText(liveness.self))).toEqual(liveness.self);
    expect(liveness.self).toMatchObject({ pid: process.pid, start: await startOf(process.pid) });
    expect(liveness.self.host).toMatch(/^[0-9a-f]{16}$/);
    expect(liveness.self.boot).toMatch(/^[0-9a-f]{16}$/);
  });

  test("is alive to itself, and leaves nothing in the folder when it goes", async () => {
    {
      await using liveness = await hostLiveness(folder);
      expect(await liveness.stateOf(liveness.self, never)).toBe("alive");
      const [name = ""] = await readdir(folder);
      expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
    }
    expect(await readdir(folder)).toEqual([]);
  });

  test("may go twice", async () => {
    const liveness = await hostLiveness(folder);
    await liveness[Symbol.asyncDispose]();
    await liveness[Symbol.asyncDispose]();
    expect(await readdir(folder)).toEqual([]);
  });

  test("hears a poke from another, and none after it stopped listening", async () => {
    await using liveness = await hostLiveness(folder);
    let pokes = 0;
    const stop = liveness.onPoke(() => {
      pokes += 1;
    });
    await liveness.poke(liveness.self, never);
    stop();
    await liveness.poke(liveness.self, never);
    expect(pokes).toBe(1);
  });

  test("is not disturbed by a peer that sends garbage or nothing", async () => {
    await using liveness = await hostLiveness(folder);
    const [name = ""] = await readdir(folder);
    for (const bytes of ["\n", "nonsense\n", "x".repeat(10_000), ""]) {
      const socket = connect(join(folder, name));
      socket.on("error", () => undefined);
      const closed = once(socket, "close");
      socket.write(bytes);
      socket.resume();
      await closed;
    }
    expect(await liveness.stateOf(liveness.self, never)).toBe("alive");
  });
});

describe("another process of this host", () => {
  test("is alive while it runs, also when it is stopped and cannot answer", async () => {
    await using liveness = await hostLiveness(folder);
    await using other = await liveProcess(folder);
    expect(await liveness.stateOf(other.owner, never)).toBe("alive");
    other.signal("SIGSTOP");
    expect(await liveness.stateOf(other.owner, never)).toBe("alive");
    other.signal("SIGCONT");
    expect(await liveness.stateOf(other.owner, never)).toBe("alive");
  });

  test("is alive when its socket is in a folder we do not know", async () => {
    await using liveness = await hostLiveness(folder);
    await using other = await liveProcess(await mkdtemp(join(folder, "other-")));
    expect(await liveness.stateOf(other.owner, never)).toBe("alive");
  });

  test("is dead once it is killed, and its socket can be swept", async () => {
    await using liveness = await hostLiveness(folder);
    await using other = await liveProcess(folder);
    expect(await liveness.sweep(never)).toBe(0);
    other.signal("SIGKILL");
    await other.ended();
    expect(await liveness.stateOf(other.owner, never)).toBe("dead");
    expect(await readdir(folder)).toHaveLength(2);
    expect(await liveness.sweep(never)).toBe(1);
    expect(await readdir(folder)).toHaveLength(1);
    expect(await liveness.stateOf(liveness.self, never)).toBe("alive");
  });

  test("lives on in who stands in for it, until the last of them stops, and is swept all the same", async () => {
    await using liveness = await hostLiveness(folder);
    await using other = await liveProcess(folder);
    other.signal("SIGKILL");
    await other.ended();
    {
      await using _one = await liveness.standInFor(other.owner);
      {
        await using _another = await liveness.standInFor(other.owner);
      }
      expect(await liveness.stateOf(other.owner, never)).toBe("alive");
      expect(await liveness.sweep(never)).toBe(1);
      expect(await liveness.stateOf(other.owner, never)).toBe("alive");
    }
    expect(await liveness.stateOf(other.owner, never)).toBe("dead");
    expect(await readdir(folder)).toHaveLength(1);
  });

  test("is dead when it has ended and its parent has not looked yet", async () => {
    await using liveness = await hostLiveness(folder);
    // The shell becomes a program that never waits for the child it started.
    const parent = spawn("sh", ["-c", "sleep 60 & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
    try {
      const [line] = await once(parent.stdout.setEncoding("utf8"), "data");
      const pid = Number(line);
      await expect.poll(() => readFile(`/proc/${parent.pid}/comm`, "utf8")).toBe("sleep\n");
      process.kill(pid, "SIGKILL");
      await expect.poll(() => startOf(pid)).toBe("ended");
      expect(await liveness.stateOf({ ...liveness.self, pid, start: 1 }, never)).toBe("dead");
    } finally {
      parent.kill("SIGKILL");
      await once(parent, "exit");
    }
  });

  test("is dead when its pid belongs to a process that started at another time", async () => {
    await using liveness = await hostLiveness(folder);
    await using other = await liveProcess(folder);
    expect(await liveness.stateOf({ ...other.owner, start: other.owner.start - 1 }, never)).toBe("dead");
  });

  test("is dead when its socket is answered by somebody else", async () => {
    await using liveness = await hostLiveness(folder);
    const { host, boot } = liveness.self;
    const gone = { host, boot, pid: 4_194_305, start: 7 };
    const impostor = createServer((socket: Socket) => socket.end("a:b:1:1\n"));
    impostor.listen(join(folder, `${host.slice(0, 8)}-${boot.slice(0, 8)}-${gone.pid}-${gone.start}.sock`));
    await once(impostor, "listening");
    expect(await liveness.stateOf(gone, never)).toBe("dead");
    impostor.close();
  });

  test("can be poked", async () => {
    await using liveness = await hostLiveness(folder);
    await using other = await liveProcess(folder);
    const line = other.nextLine();
    await liveness.poke(other.owner, never);
    expect(await line).toBe("poked");
  });

  test("is not missed by a poke when it is gone", async () => {
    await using liveness = await hostLiveness(folder);
    await liveness.poke({ ...liveness.self, pid: 4_194_305 }, never);
  });
});

test("an owner of another boot is dead, and one of another host is elsewhere", async () => {
  await using liveness = await hostLiveness(folder);
  expect(await liveness.stateOf({ ...liveness.self, boot: "0".repeat(16) }, never)).toBe("dead");
  expect(await liveness.stateOf({ ...liveness.self, host: "0".repeat(16) }, never)).toBe("elsewhere");
});

test("a question can be given up", async () => {
  await using liveness = await hostLiveness(folder);
  const asked = liveness.stateOf(liveness.self, AbortSignal.abort(new Error("enough")));
  await expect(asked).rejects.toThrow("enough");
});

test("sweeping leaves alone what it cannot judge", async () => {
  await using liveness = await hostLiveness(folder);
  for (const name of ["notes.txt", "ffffffff-00000000-1-1.sock", "x.sock"]) await writeFile(join(folder, name), "");
  expect(await liveness.sweep(never)).toBe(0);
  expect(await readdir(folder)).toHaveLength(4);
});

describe("the runtime folder", () => {
  test("is made, for us alone", async () => {
    const path = join(folder, "a", "b");
    await using _ = await hostLiveness(path);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
  });

  test("is refused when it is a link", async () => {
    await mkdir(join(folder, "real"));
    await symlink(join(folder, "real"), join(folder, "link"));
    await expect(hostLiveness(join(folder, "link"))).rejects.toMatchObject({ code: "validation" });
  });

  test("is refused when others may write it", async () => {
    await chmod(folder, 0o770);
    await expect(hostLiveness(folder)).rejects.toMatchObject({
      code: "validation",
      message: expect.stringMatching(/0770/),
    });
  });

  test("is refused when it is a file", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(hostLiveness(join(folder, "file"))).rejects.toMatchObject({ code: "validation" });
  });

  test("is refused when a socket's path would be too long", async () => {
    await expect(hostLiveness(join(folder, "x".repeat(100)))).rejects.toThrow(/at most 107|bytes long/);
  });
});
