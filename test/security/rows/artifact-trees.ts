import { mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { brief, expectReason, type HostileCase, hostile, python, shell } from "../hostile-case.ts";
import { inFolder, kept, tree } from "../kept-artifacts.ts";

const mib = 1024 * 1024;

const links: readonly HostileCase[] = [
  tree(
    "E1",
    "a link to /etc/shadow",
    shell("echo x >/output/f; ln -s /etc/shadow /output/a"),
    ({ files, skipped, tar }) => {
      expect(files).toEqual([["f", 2]]);
      expect(skipped).toEqual({ a: "link" });
      expect(tar.includes("root:")).toBe(false);
    },
  ),
  tree(
    "E1",
    "a link that climbs to /etc/passwd",
    shell("echo x >/output/f; ln -s ../../../../etc/passwd /output/a"),
    ({ skipped, tar }) => {
      expect(skipped).toEqual({ a: "link" });
      expect(tar.includes("root:")).toBe(false);
    },
  ),
  tree("E1", "a link to a file beside it", shell("echo x >/output/f; ln -s f /output/a"), ({ files, skipped }) =>
    expect([files, skipped]).toEqual([[["f", 2]], { a: "link" }]),
  ),
  tree(
    "E1",
    "links to what sandbox-init has open",
    shell("echo x >/output/f; ln -s /proc/1/fd/1 /output/a; ln -s /proc/self/environ /output/b"),
    ({ files, skipped }) => expect([files, skipped]).toEqual([[["f", 2]], { a: "link", b: "link" }]),
  ),
  tree("E2", "a link to /", shell("echo x >/output/f; ln -s / /output/d"), ({ files, folders, skipped }) =>
    expect([files, folders, skipped]).toEqual([[["f", 2]], [], { d: "link" }]),
  ),
  tree(
    "E2",
    "links in a ring",
    shell("cd /output; echo x >f; ln -s a b; ln -s b a; ln -s . here; mkdir d; ln -s ../d d/d"),
    ({ files, skipped }) =>
      expect([files, skipped]).toEqual([[["f", 2]], { a: "link", b: "link", here: "link", "d/d": "link" }]),
  ),
  hostile("E2", "/output itself cannot be a link", async (ground) => {
    const { ran, files } = await kept(
      ground,
      shell("rmdir /output 2>&1; mv /output /x 2>&1; ln -sfn /etc /output; ls -ld /output | cut -c1; sleep 1"),
    );
    expectReason(ran.result, "ok");
    expect(ran.result.output.stdout.trim().split("\n").at(-1)).toBe("d");
    // The link landed inside.
    expect(files).toEqual([]);
  }),
  hostile(
    "E4",
    "9,000 hard links of one file, counted each",
    async (ground) => {
      const { ran, files } = await kept(
        ground,
        shell("cd /output; head -c 10000 /dev/zero >a; perl -e 'for (1..9000) { link(q(a), $_) or die $! }'", {
          inodes: 20_000,
        }),
      );
      // They took room once, and are kept by the size that each shows.
      expectReason(ran.result, "output_limit");
      expect(ran.result.exit_code).toBe(0);
      expect(files.length).toBe(Math.floor((64 * mib) / 10_000));
    },
    brief,
  ),
  tree(
    "E4",
    "a hard link to a program of the image",
    shell("ln /usr/bin/passwd /output/p 2>&1; ln /bin/true /output/t 2>&1; ls /output | wc -l; echo x >/output/f"),
    ({ ran, files }) => {
      expect(ran.result.output.stdout).toMatch(/cross-device|Operation not permitted|No such file/);
      expect(ran.result.output.stdout).toMatch(/\n0\n$/);
      expect(files).toEqual([["f", 2]]);
    },
  ),
];

const notFiles: readonly HostileCase[] = [
  tree("E5", "a pipe that nobody writes to", shell("echo x >/output/f; mkfifo /output/p"), ({ files, skipped }) =>
    expect([files, skipped]).toEqual([[["f", 2]], { p: "fifo" }]),
  ),
  tree(
    "E5",
    "a socket that somebody listens at",
    python(
      "import socket\ns = socket.socket(socket.AF_UNIX); s.bind('/output/s'); s.listen()\nopen('/output/f', 'w').write('x')",
    ),
    ({ files, skipped }) => expect([files, skipped]).toEqual([[["f", 1]], { s: "socket" }]),
  ),
  tree(
    "E6",
    "devices cannot be made, nor programs that change the user",
    shell(
      "cd /output; mknod b b 8 0 2>&1; mknod c c 1 3 2>&1; cp /bin/true t; chmod 7777 t; mkdir d; chmod 7777 d; echo x >f",
    ),
    ({ files, folders, tar }) => {
      expect(files.map(([name]) => name)).toEqual(["f", "t"]);
      expect(folders).toEqual(["d"]);
      for (const mode of ["0007777", "0004755", "0007755"]) expect(tar.includes(mode)).toBe(false);
    },
  ),
  tree(
    "E6",
    "attributes are left behind",
    python(
      "import os\nopen('/output/f', 'w').write('x')\nfor name in ['user.evil', 'security.capability', 'trusted.evil', 'system.posix_acl_access']:\n  try: os.setxattr('/output/f', name, b'\\x01\\0\\0\\2\\0\\x20' + bytes(14))\n  except OSError: pass",
    ),
    ({ files, tar }) => {
      expect(files).toEqual([["f", 1]]);
      expect(tar.includes("xattr") || tar.includes("evil")).toBe(false);
    },
  ),
];

const races: readonly HostileCase[] = [
  ...(["file", "folder"] as const).map((kind) =>
    hostile("E3", `a ${kind} that becomes a link and back, as fast as it can, until it is killed`, async (ground) => {
      const make =
        kind === "file"
          ? "open('/output/real', 'w').write('x' * 1000)"
          : "os.mkdir('/output/real'); open('/output/real/passwd', 'w').write('x' * 1000)";
      const target = kind === "file" ? "/etc/passwd" : "/etc";
      const code = `import os, time
${make}
os.symlink("${target}", "/output/link")
if os.fork() == 0:
    os.setsid()
    while True:
        for a, b in (("real", "swap"), ("link", "real"), ("swap", "link")): os.rename("/output/" + a, "/output/" + b)
time.sleep(1.2)`;
      for (let turn = 0; turn < 3; turn += 1) {
        const { ran, files, skipped, tar } = await kept(ground, python(code));
        expectReason(ran.result, "ok");
        // Whatever names they had when the last process was gone: one is the thing itself, the other a link.
        expect(files.map(([, size]) => size)).toEqual([1000]);
        expect(Object.values(skipped)).toEqual(["link"]);
        expect(tar.includes("root:")).toBe(false);
      }
    }),
  ),
  hostile("E23", "a file that grows and shrinks until it is killed", async (ground) => {
    const code = `import os, time
if os.fork() == 0:
    os.setsid()
    fd = os.open("/output/f", os.O_CREAT | os.O_WRONLY)
    while True:
        os.pwrite(fd, b"a" * 1000000, 0); os.ftruncate(fd, 3)
time.sleep(1.2)`;
    for (let turn = 0; turn < 3; turn += 1) {
      const found = await kept(ground, python(code));
      expectReason(found.ran.result, "ok");
      expect(found.files.length).toBe(1);
      // Length and hash are compared on the way.
      await inFolder(async (folder) => expect(await found.pull(folder)).toBe(1));
    }
  }),
  hostile("E23", "a file that is mapped and written to until it is killed", async (ground) => {
    const code = `import mmap, os, time
fd = os.open("/output/f", os.O_CREAT | os.O_RDWR); os.ftruncate(fd, 1 << 20)
m = mmap.mmap(fd, 1 << 20)
if os.fork() == 0:
    os.setsid()
    n = 0
    while True:
        n = (n + 1) % 256; m[:] = bytes([n]) * (1 << 20)
time.sleep(1.2)`;
    const found = await kept(ground, python(code));
    expectReason(found.ran.result, "ok");
    expect(found.files).toEqual([["f", mib]]);
    await inFolder(async (folder) => {
      expect(await found.pull(folder)).toBe(1);
      const [first] = found.ran.result.output.artifacts;
      expect((await readFile(join(folder, "f"))).length).toBe(first?.size_bytes);
    });
  }),
];

const closed: readonly HostileCase[] = [
  tree(
    "E10",
    "files and folders of mode 000",
    shell("cd /output; echo a >f; mkdir d; echo b >d/g; mkdir -p e/e; echo c >e/e/h; chmod 0 f d/g d e/e e"),
    ({ files }) =>
      expect(files).toEqual([
        ["d/g", 2],
        ["e/e/h", 2],
        ["f", 2],
      ]),
  ),
  tree(
    "E10",
    "nobody's files cannot be made",
    shell("cd /output; echo a >f; chown 1:1 f 2>&1; chown 0:0 f 2>&1; stat -c %u f | grep -qx $(id -u) && echo mine"),
    ({ ran, files }) => {
      expect(ran.result.output.stdout).toMatch(/not permitted[\s\S]*mine\n$/);
      expect(files).toEqual([["f", 2]]);
    },
  ),
];

const places: readonly HostileCase[] = [
  hostile(
    "E22",
    "a link in the folder that leads to one of a like name",
    async (ground) => {
      const found = await kept(ground, shell("mkdir /output/d; echo evil >/output/d/x"));
      await inFolder(async (folder) => {
        const [out, beside] = [join(folder, "out"), join(folder, "out-evil")];
        await inFolder(async (elsewhere) => {
          await symlink(elsewhere, beside);
          await found.pull(join(folder, "warm"));
          await mkdir(out);
          await symlink(beside, join(out, "d"));
          await expect(found.pull(out)).rejects.toMatchObject({ code: "validation" });
          expect(await readdir(elsewhere)).toEqual([]);
        });
      });
    },
    brief,
  ),
];

export const artifactTreeRows: readonly HostileCase[] = [...links, ...notFiles, ...races, ...closed, ...places];
