import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DerivedImage, derivedImage } from "../support/derived-image.ts";
import { until } from "../support/until.ts";
import { weakened } from "../support/weakened.ts";
import { batteries } from "./batteries.ts";
import { type Battery, battery, surprises } from "./battery.ts";
import { type Ground, openGround } from "./ground.ts";
import { sweepSurprises } from "./rows/sweep.ts";
import { isUnseenHere, type Rule, stageFolder, weakenings, withFilter } from "./weakenings.ts";

/** Every input of every battery, by row and name; several tasks, because a program's argument has a longest length. */
const perTask = 150;
const everything = batteries.flatMap(({ id, tries }) => tries.map((one) => ({ ...one, name: `${id} ${one.name}` })));
const merged: readonly Battery[] = Array.from({ length: Math.ceil(everything.length / perTask) }, (_, at) =>
  battery("B", "all", everything.slice(at * perTask, (at + 1) * perTask)),
);

const otherFilters: readonly (readonly [string, (rules: Rule[]) => Rule[], string])[] = [
  [
    "a call more",
    (rules) => [...rules, { names: ["add_key"], action: "SCMP_ACT_ALLOW" }],
    "248 add_key: allowed, not refused",
  ],
  [
    "a call less",
    (rules) => rules.map((rule) => ({ ...rule, names: rule.names.filter((name) => name !== "mlock2") })),
    "325 mlock2: refused, not allowed",
  ],
  [
    "a rule on arguments less",
    (rules) => [...rules, { names: ["setpriority"], action: "SCMP_ACT_ALLOW" }],
    "141 setpriority: allowed, not allowed with 0, refused with 1, refused with -1",
  ],
];

const folder = mkdtempSync(join(tmpdir(), "toolx-weak-"));
const seen = new Set<string>();

describe("a wall that is taken away is noticed", () => {
  let ground: Ground;
  let image: DerivedImage;
  let staged: Disposable;

  beforeAll(async () => {
    staged = await stageFolder(folder);
    // What is tried here are the checks, and they are the same under every runtime.
    ground = await openGround({ TOOL_EXECUTOR_RUNTIMES: "runc" });
    const { parts, docker } = ground.house;
    const parent = await parts.images.resolve("python", new AbortController().signal);
    image = await derivedImage(docker, parent?.id ?? "", [
      ...new Set(batteries.flatMap(({ imageLines }) => imageLines)),
    ]);
  });

  afterAll(async () => {
    await image[Symbol.asyncDispose]();
    await ground[Symbol.asyncDispose]();
    staged[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each(weakenings(folder))("$name", async (fallen) => {
    await using weak = weakened(ground.house, fallen);
    const resolve: typeof weak.parts.images.resolve = async (name, signal) => {
      const found = await ground.house.parts.images.resolve(name, signal);
      return found === null ? null : { ...found, id: fallen.isImagePlain === true ? found.id : image.id };
    };
    const house = { ...weak, parts: { ...weak.parts, images: { ...weak.parts.images, resolve } } };
    const settingsBefore = ground.settingFindings().length;
    const noticed: string[] = [];
    for (const one of merged) for (const line of await surprises(ground, one, { house })) noticed.push(line);
    const names = everything
      .map(({ name }) => name)
      .filter((name) => noticed.some((line) => line.startsWith(`${name}: `)));
    for (const name of names) seen.add(name);
    if (fallen.container !== undefined)
      await until("a weakened setting seen", () => ground.settingFindings().length > settingsBefore, 10_000);
    expect(names).toEqual(expect.arrayContaining([...fallen.noticed]));
  });

  test("every input has been seen to be noticed", () => {
    expect(everything.map(({ name }) => name).filter((name) => !seen.has(name) && !isUnseenHere(name))).toEqual([]);
  });

  test.each(otherFilters)(
    "a filter with %s differs from the golden list, by the name of the call",
    async (_name, change, line) => {
      await using house = weakened(ground.house, {
        container: ({ HostConfig }) => ({ HostConfig: { SecurityOpt: withFilter(HostConfig?.SecurityOpt, change) } }),
      });
      expect(await sweepSurprises(ground, { house })).toEqual([line]);
    },
  );
});
