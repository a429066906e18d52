import { expect } from "vitest";
import type { SandboxEvent } from "../../../src/ports/sandbox.ts";
import { defaultLimits } from "../../support/bare-container.ts";
import { endOfTar, padded, paxHeader, paxRecord, tarEntry, tarHeader, wholeTar } from "../../support/hostile-tar.ts";
import { testRuntime } from "../../support/house.ts";
import type { Ground } from "../ground.ts";
import { brief, type HostileCase, hostile } from "../hostile-case.ts";

const mib = 1024 * 1024;
const never = new AbortController().signal;

interface Unpacked {
  /** The first that ended it: an input that is refused, or the command's own exit. */
  readonly end: Extract<SandboxEvent, { kind: "failed" | "exit" | "gone" }>;
  readonly stdout: string;
}

/** Gives a sandbox a tar of our own making, as no product does, and then looks around in it. */
async function unpacked(ground: Ground, tar: AsyncIterable<Uint8Array>): Promise<Unpacked> {
  const { parts } = ground.house;
  const image = await parts.images.resolve("shell", never);
  if (image === null) throw new Error("no shell image");
  await using sandbox = await parts.sandboxes.create({ image, runtime: testRuntime, limits: defaultLimits }, never);
  await sandbox.putFiles(tar, never);
  await sandbox.start(
    {
      argv: ["sh", "-c", "cd /workspace && find . -mindepth 1 -printf '%y %m %s %p\\n' | sort; ls /tmp"],
      env: { PATH: "/usr/bin:/bin" },
      cwd: "/workspace",
      stdin: false,
      deadlineMs: 20_000,
      graceMs: 1000,
    },
    never,
  );
  const stdout: Buffer[] = [];
  for await (const batch of sandbox.events()) {
    for (const event of batch) {
      if (event.kind === "stdout") stdout.push(Buffer.from(event.bytes));
      if (event.kind === "failed" || event.kind === "exit" || event.kind === "gone")
        return { end: event, stdout: Buffer.concat(stdout).toString() };
    }
  }
  throw new Error("the sandbox said no end");
}

async function* whole(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}

/** So much of one letter, made while it is sent. */
async function* endless(head: Buffer, bytes: number): AsyncGenerator<Buffer> {
  yield head;
  const piece = Buffer.alloc(mib, "n");
  for (let left = bytes; left > 0; left -= piece.length) yield piece.subarray(0, Math.min(left, piece.length));
  yield endOfTar;
}

function expectRefused({ end }: Unpacked, why: RegExp): void {
  if (end.kind !== "failed") throw new Error(`it was taken: ${JSON.stringify(end)}`);
  expect(end.failure).toMatchObject({ stage: "input", code: "bad_input" });
  expect(end.failure.message).toMatch(why);
  expect(end.failure.message.length).toBeLessThan(1500);
}

const refused = (id: string, name: string, tar: () => AsyncIterable<Uint8Array>, why: RegExp): HostileCase =>
  hostile(id, name, async (ground) => expectRefused(await unpacked(ground, tar()), why), brief);

const bad = (id: string, name: string, why: RegExp, ...pieces: readonly Buffer[]): HostileCase =>
  refused(id, name, () => whole(wholeTar(...pieces)), why);

const sound = wholeTar(tarEntry("a", "one"), tarEntry("d/", "", { type: "5", mode: 0o755 }), tarEntry("d/b", "two"));

export const archiveRows: readonly HostileCase[] = [
  bad("E16", "an archive with ../../x", /a name with \.\./, tarEntry("../../x", "evil")),
  bad("E16", "an archive with /abs", /an absolute name/, tarEntry("/abs", "evil")),
  bad("E16", "an archive with a/../../x", /a name with \.\./, tarEntry("a/../../x", "evil")),
  bad("E16", "an archive with a folder ..", /a name with \.\./, tarEntry("..", "", { type: "5" })),
  bad("E16", "an archive with an empty name", /an empty name|file with the name of a folder/, tarEntry("", "evil")),
  bad(
    "E17",
    "a link d to /, then d/etc/x",
    /type '2' is not allowed/,
    tarEntry("d", "", { type: "2", linkname: "/" }),
    tarEntry("d/etc/x", "evil"),
  ),
  bad(
    "E17",
    "a hard link before what it names",
    /type '1' is not allowed/,
    tarEntry("b", "", { type: "1", linkname: "a" }),
  ),
  bad(
    "E17",
    "a hard link to what was just unpacked",
    /type '1' is not allowed/,
    tarEntry("a", "x"),
    tarEntry("b", "", { type: "1", linkname: "a" }),
  ),
  bad(
    "E17",
    "a file, a link and a file of one name",
    /type '2' is not allowed/,
    tarEntry("a", "1"),
    tarEntry("a", "", { type: "2", linkname: "/tmp/x" }),
    tarEntry("a", "2"),
  ),
  bad("E17", "a file of one name twice", /file exists/, tarEntry("a", "1"), tarEntry("a", "2")),
  bad("E17", "a file used as a folder", /not a directory/, tarEntry("a", "1"), tarEntry("a/b", "2")),
  bad("E17", "a file with a slash at its end", /name of a folder|folder of/, tarEntry("a/", "1")),
  ...(["3", "4", "6", "7", "S", "D", "M", "V", "N"] as const).map((type) =>
    bad(
      "E6",
      `an entry of type ${type}`,
      /type .* is not allowed|invalid tar header|sparse/,
      tarEntry("dev", "", { type }),
    ),
  ),
  hostile(
    "E6",
    "setuid, setgid and sticky bits, and an owner",
    async (ground) => {
      const tar = wholeTar(
        tarEntry("suid", "x", { mode: 0o7755, uid: 1000 }),
        tarEntry("d/", "", { type: "5", mode: 0o7777 }),
      );
      const { end, stdout } = await unpacked(ground, whole(tar));
      expect(end.kind).toBe("exit");
      expect(stdout).toMatch(/^d 777 \d+ \.\/d\nf 755 1 \.\/suid\n$/);
    },
    brief,
  ),
  hostile(
    "E6",
    "a folder that nobody may enter, with folders in it",
    async (ground) => {
      const folders = ["d/", "d/e/", "d/e/f/"].map((name) => tarEntry(name, "", { type: "5", mode: 0 }));
      const { end, stdout } = await unpacked(
        ground,
        whole(wholeTar(...folders, tarEntry("d/e/f/a", "x", { mode: 0 }))),
      );
      expect([end.kind, stdout]).toEqual(["exit", expect.stringMatching(/^d 0 \d+ \.\/d\n$/)]);
    },
    brief,
  ),
  hostile(
    "E6",
    "a capability and an access list as attributes",
    async (ground) => {
      const records = Buffer.concat([
        paxRecord("SCHILY.xattr.security.capability", Buffer.from("0100000200200000000000000000000000000000", "hex")),
        paxRecord("SCHILY.acl.access", "user::rwx,user:0:rwx"),
      ]);
      const { end, stdout } = await unpacked(ground, whole(wholeTar(paxHeader(records), tarEntry("a", "x"))));
      expect(end.kind).toBe("exit");
      expect(stdout).toBe("f 644 1 ./a\n");
    },
    brief,
  ),
  bad(
    "E7",
    "a sparse file of 1 TB, in GNU's way",
    /sparse|not allowed|invalid tar header/,
    tarEntry("huge", "", { type: "S", rawSize: Buffer.from("00000000000\0") }),
  ),
  bad(
    "E7",
    "a sparse file of 1 TB, in an extended header",
    /sparse|invalid tar header|a name with \.\./,
    paxHeader(
      Buffer.concat([
        paxRecord("GNU.sparse.major", "1"),
        paxRecord("GNU.sparse.minor", "0"),
        paxRecord("GNU.sparse.name", "../../evil"),
        paxRecord("GNU.sparse.realsize", `${2 ** 40}`),
      ]),
    ),
    tarEntry("a", padded("1\n0\n0\n")),
  ),
  bad(
    "E18",
    "an extended path with a NUL",
    /invalid tar header|NUL/,
    paxHeader(paxRecord("path", "a\0b")),
    tarEntry("a", "x"),
  ),
  bad(
    "E18",
    "an extended path that climbs",
    /a name with \.\./,
    paxHeader(paxRecord("path", "../x")),
    tarEntry("a", "x"),
  ),
  bad(
    "E18",
    "an extended size of -1",
    /invalid tar header|negative/,
    paxHeader(paxRecord("size", "-1")),
    tarEntry("a", "x"),
  ),
  bad(
    "E18",
    "an extended size of 99999999999999",
    /unexpected EOF|no space|too large|ends before/i,
    paxHeader(paxRecord("size", "99999999999999")),
    tarEntry("a", "x"),
  ),
  bad(
    "E18",
    "a size of 2^63 in binary",
    /invalid tar header|negative|unexpected EOF/,
    tarEntry("a", "x", { rawSize: Buffer.from("800000008000000000000000", "hex") }),
  ),
  bad(
    "E18",
    "a plain path for the whole archive",
    /type .g. is not allowed/,
    paxHeader(paxRecord("path", "b"), "g"),
    tarEntry("a", "x"),
  ),
  bad(
    "E18",
    "an extended header before an extended header's own",
    /type .g. is not allowed|a name with \.\./,
    paxHeader(paxRecord("path", "b")),
    paxHeader(paxRecord("path", "../c"), "g"),
    tarEntry("a", "x"),
  ),
  bad(
    "E18",
    "a path for the whole archive",
    /type .g. is not allowed|a name with \.\./,
    paxHeader(paxRecord("path", "../x"), "g"),
    tarEntry("a", "x"),
  ),
  bad(
    "E18",
    "an extended link that turns a file into one",
    /type '2' is not allowed/,
    paxHeader(paxRecord("linkpath", "/etc/passwd")),
    tarEntry("a", "", { type: "2" }),
  ),
  bad(
    "E18",
    "a record whose length lies",
    /invalid tar header/,
    paxHeader(Buffer.from("99 path=b\n")),
    tarEntry("a", "x"),
  ),
  refused(
    "E19",
    "a name of 1 GB, in GNU's way",
    () => endless(tarHeader({ name: "././@LongLink", type: "L", size: 1024 * mib }), 1024 * mib),
    /./,
  ),
  refused(
    "E19",
    "a record of 1 GB",
    () => endless(tarHeader({ name: "x", type: "x", size: 1024 * mib }), 1024 * mib),
    /./,
  ),
  bad("E19", "a checksum that is wrong", /invalid tar header/, tarEntry("a", "x", { checksumOff: 1 })),
  refused("E19", "two archives in one", () => whole(Buffer.concat([sound, sound])), /bytes after the end/),
  refused("E19", "an archive of one empty block", () => whole(Buffer.alloc(512)), /ends before|unexpected EOF/),
  refused("E19", "noise", () => whole(Buffer.alloc(4096, "noise!")), /invalid tar header/),
  hostile(
    "E19",
    "an archive that ends at each of its blocks",
    async (ground) => {
      for (let bytes = 512; bytes < sound.length - 512; bytes += 512)
        expectRefused(await unpacked(ground, whole(sound.subarray(0, bytes))), /ends before|unexpected EOF/);
      // The same archive as a whole, so that it is the cut that is refused.
      const { end, stdout } = await unpacked(ground, whole(sound));
      expect([end.kind, stdout]).toEqual(["exit", "d 755 60 ./d\nf 644 3 ./a\nf 644 3 ./d/b\n"]);
    },
    { boundMs: 180_000 },
  ),
  hostile(
    "E19",
    "100,001 entries",
    async (ground) => {
      async function* many(): AsyncGenerator<Buffer> {
        // Folders that are there already take no inode: the count itself is what is met.
        const thousand = Buffer.concat(Array.from({ length: 1000 }, () => tarEntry("d/", "", { type: "5" })));
        for (let count = 0; count < 101; count += 1) yield thousand;
        yield endOfTar;
      }
      expectRefused(await unpacked(ground, many()), /more than 100000 entries/);
    },
    brief,
  ),
];
