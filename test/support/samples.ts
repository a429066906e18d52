import type { Egress } from "../../src/egress/egress.ts";
import { defaultEgressCaps } from "../../src/egress/proxy.ts";
import type { AuditRecord } from "../../src/model/audit.ts";
import { defaultLimitRules, type LimitName, type Limits } from "../../src/model/limits.ts";
import type { Owner } from "../../src/model/owner.ts";
import type { Result } from "../../src/model/result.ts";
import { type Task, taskKey } from "../../src/model/task.ts";
import type { Clock } from "../../src/ports/clock.ts";

/** A checked task with every default, and what a test is about. */
export function aTask(differences: Partial<Task> = {}): Task {
  return {
    schema_version: 1,
    task_id: "t-1",
    tenant_id: "acme",
    persona: null,
    tool_name: "shell",
    payload: { command: "true" },
    files: [],
    stdin: null,
    limits: defaultLimits(),
    env: {},
    image: null,
    runtime: null,
    priority: 5,
    retry: "safe",
    not_before: null,
    expires_at: null,
    callback_url: null,
    metadata: {},
    ...differences,
  };
}

export function anAuditRecord(differences: Partial<AuditRecord> = {}): AuditRecord {
  const detail = { host: "a.test", port: 443, why: null };
  return { key: taskKey(aTask()), attempt: 1, at: 0, kind: "egress", detail, ...differences };
}

export function aResult(differences: Partial<Result> = {}): Result {
  return {
    schema_version: 1,
    task_id: "t-1",
    tenant_id: "acme",
    tool_name: "shell",
    status: "success",
    reason: "ok",
    exit_code: 0,
    signal: null,
    error: null,
    output: {
      value: null,
      stdout: "",
      stderr: "",
      stdout_encoding: "utf-8",
      stderr_encoding: "utf-8",
      stdout_bytes: 0,
      stderr_bytes: 0,
      truncated: false,
      results: [],
      artifacts: [],
      artifacts_object: null,
      logs_object: null,
    },
    metrics: {
      queue_ms: 1,
      start_ms: 2,
      run_ms: 3,
      duration_ms: 6,
      cpu_ms: null,
      memory_peak_bytes: null,
      pids_peak: null,
      egress_bytes: null,
      egress_connections: null,
      source: null,
      redactions: 0,
    },
    egress: [],
    sandbox: {
      image: "shell",
      image_id: "sha256:0",
      runtime: "runc",
      warm: false,
      limits: defaultLimits(),
    },
    attempt: 1,
    trace_id: null,
    metadata: {},
    ...differences,
  };
}

export const anOwner = (pid = 1): Owner => ({ host: "aa", boot: "bb", pid, start: 1 });

/** A clock that stands still until a test moves it. */
export function handClock(startAt = 1_767_225_600_000): Clock & { advance(ms: number): void } {
  let now = startAt;
  return {
    now: () => now,
    monotonicMs: () => now - startAt,
    advance(ms) {
      now += ms;
    },
  };
}

/** A signal for a call that nobody ends. */
export const never = (): AbortSignal => new AbortController().signal;

function defaultLimits(): Limits {
  const byDefault = (name: LimitName): number => defaultLimitRules[name].byDefault;
  return {
    timeout_seconds: byDefault("timeout_seconds"),
    cpus: byDefault("cpus"),
    memory_mb: byDefault("memory_mb"),
    pids: byDefault("pids"),
    disk_mb: byDefault("disk_mb"),
    output_mb: byDefault("output_mb"),
    inodes: byDefault("inodes"),
    log_mb: byDefault("log_mb"),
  };
}

/** Where nothing is reached. */
export const noEgress: Egress = {
  tcp: [],
  dial: async () => {
    throw new Error("nothing is dialled in this test");
  },
  caps: defaultEgressCaps,
  extraCa: "",
  record: () => undefined,
};
