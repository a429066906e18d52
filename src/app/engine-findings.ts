import type { EngineFacts } from "../adapters/docker/engine-facts.ts";
import type { LocalImage } from "../adapters/docker/images.ts";
import { plainRuntimes, runtimeTraits } from "../adapters/docker/runtimes.ts";
import { type Finding, finding } from "./finding.ts";

/** The oldest API with every field that a sandbox's walls need (a private cgroup namespace came last). */
const oldestApi = "1.41";
const oldestKernel = "4.19";
const architectures: readonly string[] = ["x86_64", "amd64", "aarch64", "arm64"];
const copyOnWriteDrivers: readonly string[] = ["overlay2", "overlayfs", "btrfs", "zfs", "fuse-overlayfs"];

/** What the engine and its host must be. Pure. */
export function engineFindings(facts: EngineFacts, allowedRuntimes: readonly string[]): readonly Finding[] {
  const { canLimit } = facts;
  const lacking = Object.entries({ memory: canLimit.memory, cpu: canLimit.cpu, pids: canLimit.pids })
    .filter(([, can]) => !can)
    .map(([name]) => name);
  return [
    finding(
      "engine",
      "ask the engine who it is",
      { holds: !isOlder(facts.apiVersion, oldestApi), seen: `${facts.version}, API ${facts.apiVersion}` },
      { verdict: "fail", advice: `update the engine: API ${oldestApi} (version 20.10) is the oldest allowed` },
    ),
    ...runtimeFindings(facts.runtimes, allowedRuntimes),
    finding(
      "kernel",
      "ask the engine",
      { holds: !isOlder(facts.kernel, oldestKernel), seen: facts.kernel },
      { verdict: "warn", advice: `kernels before ${oldestKernel} are not tested: update the host` },
    ),
    finding(
      "architecture",
      "ask the engine",
      { holds: architectures.includes(facts.architecture), seen: facts.architecture },
      {
        verdict: "fail",
        advice: `there is a system call filter for ${architectures.join(", ")} only: use such a host`,
      },
    ),
    finding(
      "cgroups",
      "ask for version and controllers",
      {
        holds: lacking.length === 0,
        seen: `version ${facts.cgroupVersion}${lacking.length > 0 ? `, cannot limit ${lacking.join(", ")}` : ", limits memory, cpu, pids"}`,
      },
      { verdict: "fail", advice: "enable these cgroup controllers in the host's kernel, then restart the engine" },
    ),
    finding(
      "swap accounting",
      "ask the engine",
      { holds: canLimit.swap, seen: canLimit.swap ? "on" : "off" },
      {
        verdict: "warn",
        advice: "a task may swap beyond its memory limit: boot with swapaccount=1, or turn swap off on the host",
      },
    ),
    finding(
      "storage driver",
      "ask the engine",
      { holds: copyOnWriteDrivers.includes(facts.storageDriver), seen: facts.storageDriver },
      { verdict: "warn", advice: "it copies the whole image for every sandbox: use overlay2" },
    ),
    finding(
      "seccomp",
      "ask the engine",
      { holds: facts.hasSeccomp, seen: facts.hasSeccomp ? "supported" : "not supported" },
      { verdict: "fail", advice: "use a kernel and an engine built with seccomp: without it no sandbox is safe" },
    ),
    finding(
      "AppArmor",
      "ask the engine",
      { holds: facts.hasAppArmor, seen: facts.hasAppArmor ? "on" : "off" },
      { verdict: "warn", advice: "the other walls hold without it; boot with apparmor=1 to have this one too" },
    ),
  ];
}

/** Whether the engine has each allowed runtime. Only the first one must be there: a task that names none gets it. */
function runtimeFindings(there: readonly string[], allowed: readonly string[]): readonly Finding[] {
  const other = plainRuntimes(there).filter((name) => !allowed.includes(name));
  return allowed.map((name, index): Finding => {
    const { isTested, howToAdd } = runtimeTraits(name);
    const row = { name: `runtime ${name}`, tried: "look for it on the engine" };
    if (!there.includes(name)) {
      const advice = `${howToAdd}; or take it out of TOOL_EXECUTOR_RUNTIMES`;
      return { ...row, verdict: index === 0 ? "fail" : "warn", seen: "the engine does not have it", advice };
    }
    if (!isTested) {
      const advice = "its limits and walls are tried below; nothing else has been tested with it";
      return { ...row, verdict: "warn", seen: "there", advice };
    }
    const alsoThere = index === 0 && other.length > 0 ? `; not allowed, but there: ${other.join(", ")}` : "";
    return { ...row, verdict: "ok", seen: `there${alsoThere}`, advice: null };
  });
}

/** Whether each image is there, and made from the files as they are now. Pure. */
export function imageFindings(images: readonly LocalImage[]): readonly Finding[] {
  return images.map(({ name, id, upToDate, reference }) =>
    finding(
      `image ${name}`,
      "look for it on the engine",
      { holds: upToDate, seen: id === null ? "not built" : `${reference ?? id}${upToDate ? "" : ", out of date"}` },
      { verdict: id === null ? "fail" : "warn", advice: `toolx images build ${name}` },
    ),
  );
}

/** Compares the leading numbers of dotted versions, so `6.1.0-13-amd64` is a version too. */
function isOlder(version: string, oldest: string): boolean {
  const numbers = (text: string): readonly number[] => text.split(/[.-]/).slice(0, 3).map(Number);
  const [own, bound] = [numbers(version), numbers(oldest)];
  for (const [index, least] of bound.entries()) {
    const number = own[index] ?? 0;
    // What is no number is no version we can vouch for.
    if (Number.isNaN(number) || number < least) return true;
    if (number > least) return false;
  }
  return false;
}
