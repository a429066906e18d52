import { describe, expect, test } from "vitest";
import { imageDeclarations, volumeMounts } from "../../../../src/adapters/docker/image-declarations.ts";

describe("what an image declares", () => {
  test("is read from its configuration", () => {
    const Config = { Volumes: { "/data": {} }, Env: ["PATH=/bin", "A=b=c", "=x"], Labels: { one: "1" } };
    expect(imageDeclarations({ Config } as never)).toEqual({
      volumes: ["/data"],
      envNames: ["PATH", "A"],
      labelNames: ["one"],
    });
  });

  test("may be nothing at all", () => {
    expect(imageDeclarations({ Config: { Volumes: null, Env: null, Labels: null } } as never)).toEqual({
      volumes: [],
      envNames: [],
      labelNames: [],
    });
  });
});

describe("a volume of an image", () => {
  test.each([
    ["/data", "/data"],
    ["/var/lib/postgresql/data/", "/var/lib/postgresql/data"],
    ["/srv//a/../b", "/srv/b"],
    ["/usr/local/data", "/usr/local/data"],
    ["/workspaces", "/workspaces"],
  ])("at %s is an empty page that nobody can write", (volume, Target) => {
    expect(volumeMounts([volume])).toEqual([
      { Type: "tmpfs", Source: "", Target, ReadOnly: true, TmpfsOptions: { SizeBytes: 4096, Mode: 0o555 } },
    ]);
  });

  test("that is declared twice is mounted once", () => {
    expect(volumeMounts(["/data", "/data/"])).toHaveLength(1);
  });

  test.each([
    "/",
    "/usr",
    "/run",
    "/etc",
    "/etc/ssl",
    "/usr/lib/python3",
    "/sbin/sandbox-init",
    "/workspace",
    "/workspace/deep",
    "/tmp",
    "/output",
    "/proc/self",
    "/srv/../etc",
    "data",
    "",
  ])("at %j refuses the image", (volume) => {
    expect(() => volumeMounts([volume])).toThrow(expect.objectContaining({ code: "image" }));
  });
});
