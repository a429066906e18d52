import { ExecutorError } from "../../model/failure.ts";
import { runtimeTraits } from "./runtimes.ts";
import { type ArgumentTest, absentCalls, argumentRules, plainCalls } from "./syscalls.ts";

/** A filter as engines take it in `SecurityOpt` (the OCI form, with the engine's own field names). */
export interface SeccompProfile {
  readonly defaultAction: "SCMP_ACT_ERRNO";
  readonly architectures: readonly string[];
  readonly syscalls: readonly SyscallRule[];
}

export interface SyscallRule {
  readonly names: readonly string[];
  readonly action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  /** All must hold; each looks at another argument. */
  readonly args?: readonly ArgumentTest[];
  readonly errnoRet?: number;
}

/**
 * What a sandbox may ask of the kernel: the calls listed in syscalls.ts and nothing else. A refused call answers EPERM,
 * some answer ENOSYS, as on a kernel that lacks them, because libraries then take another way.
 * Calls of another ABI than the machine's own (32 bit, x32) end the thread that makes them.
 *
 * `architecture` is the engine's machine, not ours where the two differ; its own word for it, Go's or Node's.
 *
 * @throws ExecutorError sandbox, for a machine whose calls have not been gone through.
 */
export function seccompProfile(runtime: string, architecture: string): SeccompProfile {
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    architectures: [architectureName(architecture)],
    syscalls: [
      allow(plainCalls),
      ...argumentRules.map(({ names, args }) => ({ names, action: "SCMP_ACT_ALLOW" as const, args })),
      ...absentRules(runtime),
    ],
  };
}

const enosys = 38;

// Where every refused call answers EPERM, clone3 must be let through: a C library goes back from it to clone on ENOSYS only.
// What it can make there is the sentry's own namespace, and sync reaches no disk of the host.
function absentRules(runtime: string): readonly SyscallRule[] {
  if (runtimeTraits(runtime).refusal === "always_eperm") return [allow(["clone3", "sync", "syncfs"])];
  return [{ names: absentCalls, action: "SCMP_ACT_ERRNO", errnoRet: enosys }];
}

const allow = (names: readonly string[]): SyscallRule => ({ names, action: "SCMP_ACT_ALLOW" });

// One ABI only. Every second ABI is a second table of calls, with the bugs of its own and rarely looked at.
function architectureName(architecture: string): string {
  switch (architecture) {
    case "x86_64":
    case "amd64":
    case "x64":
      return "SCMP_ARCH_X86_64";
    case "aarch64":
    case "arm64":
      return "SCMP_ARCH_AARCH64";
  }
  throw new ExecutorError("sandbox", `no seccomp profile for an engine on ${architecture}`, {
    hint: "allowed are x86_64 (amd64) and aarch64 (arm64)",
  });
}
