import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { Taken } from "../../src/loops/intake.ts";
import { reasonTable } from "../../src/model/failure.ts";
import type { OutboxKind } from "../../src/model/outbox.ts";
import type { Result } from "../../src/model/result.ts";
import { metrics } from "../../src/observe/metrics.ts";
import type { Inbound } from "../../src/ports/transport.ts";
import { readPromql } from "../support/promql.ts";
import { aResult } from "../support/samples.ts";

const checkout = join(import.meta.dirname, "..", "..");
const read = (path: string): string => readFileSync(join(checkout, path), "utf8");

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook: string };
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const { groups } = parse(read("deploy/prometheus/alerts.yml")) as { groups: readonly { rules: readonly Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);
const { panels } = JSON.parse(read("deploy/grafana/tool-executor.json")) as { readonly panels: readonly Panel[] };
const targets = panels.flatMap((panel) => panel.targets ?? []);
const expressions = [
  ...rules.map(({ alert, expr }) => [alert, expr] as const),
  ...panels.flatMap(({ title, targets }) => (targets ?? []).map(({ expr }) => [title, expr] as const)),
];
const readable = (expr: string): string => expr.replaceAll("$__rate_interval", "5m");

interface Known {
  readonly kind: string;
  readonly labels: ReadonlySet<string>;
}

/** Of each metric that the registry gives, under each name that can be asked for. */
async function known(): Promise<ReadonlyMap<string, Known>> {
  const counted = metrics();
  const reached = { host: "a.test", port: 443, verdict: "allowed", bytes_in: 1, bytes_out: 1, connections: 1 } as const;
  counted.taskFinished(aResult({ egress: [{ ...reached, why: null, hint: null }] }));
  counted.attemptReleased("sandbox");
  counted.reaped("container", 1);
  counted.swept("results", 1);
  counted.sweepFailed();
  counted.delivered("accepted");
  counted.published("result", 1);
  counted.requestAnswered("GET", "/healthz", 200, 0.1);
  counted.warmGiven("hit", 0.001);
  counted.warmAged(1);
  counted.warmRetired("aged");
  counted.warmFailed();
  counted.gauges({
    warm: () => ({ ready: 2, starting: 1 }),
    running: () => 1,
    slots: () => 2,
    droppedLogEntries: () => 0,
    droppedSpans: () => 0,
    missing: async () => ["store"],
    diskFree: async () => ({ data: 0.5 }),
    outboxAgeMs: async () => 7,
    lag: () => ({ tools: 3, control: 0 }),
  });
  const text = await counted.text();
  const kinds = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", kind = ""]) => [name, kind]));
  const found = new Map<string, { kind: string; labels: Set<string> }>();
  for (const [, name = "", labels = ""] of text.matchAll(/^([a-z_:][\w:]*)(?:\{(.*)\})? \S+$/gim)) {
    const kind = kinds.get(name) ?? (kinds.has(name.replace(/_(?:bucket|sum|count)$/, "")) ? "counter" : "unknown");
    const entry = found.get(name) ?? { kind, labels: new Set<string>() };
    for (const [, label = ""] of labels.matchAll(/([a-zA-Z_]\w*)="/g)) entry.labels.add(label);
    found.set(name, entry);
  }
  return found;
}

/** What Prometheus itself adds to each series. */
const scraped = ["instance", "job"];
const overCounters = ["rate", "irate", "increase"];
const overGauges = ["delta", "idelta", "deriv"];

test.each(expressions)("%s asks for what there is, as what it is: %s", async (_name, expr) => {
  const there = await known();
  const { selectors, grouped } = readPromql(readable(expr));
  expect(selectors.length).toBeGreaterThan(0);
  const labels = new Set(scraped);
  for (const { metric, labels: asked, over } of selectors) {
    const found = there.get(metric);
    if (found === undefined) throw new Error(`no metric ${metric}`);
    expect([metric, found.kind]).not.toEqual([metric, "unknown"]);
    for (const label of asked)
      expect([metric, [...found.labels, ...scraped]]).toEqual([metric, expect.arrayContaining([label])]);
    if (over !== null && overCounters.includes(over)) expect([metric, found.kind]).toEqual([metric, "counter"]);
    if (over !== null && overGauges.includes(over)) expect([metric, found.kind]).toEqual([metric, "gauge"]);
    // A counter by itself says when its process began.
    if (found.kind === "counter") expect([metric, overCounters]).toEqual([metric, expect.arrayContaining([over])]);
    for (const label of found.labels) labels.add(label);
  }
  for (const label of grouped) expect([...labels]).toContain(label);
  if (expr.includes("histogram_quantile")) {
    expect(grouped).toContain("le");
    expect(selectors.map(({ metric }) => metric)).toEqual([expect.stringMatching(/_bucket$/)]);
  }
});

/** The values that a label has, where the list of them is closed. */
const closed: Readonly<Record<string, readonly string[]>> = {
  reason: Object.keys(reasonTable),
  status: ["success", "failed"] satisfies Result["status"][],
  phase: ["queue", "start", "run", "total"],
  fate: ["accepted", "duplicate", "refused", "dead_letter", "tombstone", "cancel"] satisfies Taken[],
  channel: ["tools", "control"] satisfies Inbound[],
  kind: ["result", "dead_letter", "container"] satisfies (OutboxKind | "container")[],
};

test("what is asked for by a value is asked for by one that there is", () => {
  const asked = expressions.flatMap(([, expr]) => [...expr.matchAll(/(\w+)=~?"([^"]*)"/g)]);
  const seen = asked.flatMap(([, label = "", values = ""]) =>
    values.split("|").map((value) => [label, value] as const),
  );
  const known = seen.filter(([label]) => closed[label] !== undefined);
  expect(known.length).toBeGreaterThan(8);
  for (const [label, value] of known) expect([label, closed[label]]).toEqual([label, expect.arrayContaining([value])]);
});

test.each([
  ["no function", "rates(tool_executor_tasks_total[5m])"],
  ["no end", "sum by (tool (tool_executor_running)"],
  ["no range", "tool_executor_running[5 minutes]"],
])("what is no PromQL (%s) is found out", (_name, expr) => {
  expect(() => readPromql(expr)).toThrow("no PromQL");
});

describe("the dashboard", () => {
  test("shows every metric of ours", async () => {
    const asked = targets.flatMap(({ expr }) => readPromql(readable(expr)).selectors.map(({ metric }) => metric));
    const base = (name: string): string => name.replace(/_(?:bucket|sum|count)$/, "");
    const ours = [...(await known()).keys()].filter((name) => name.startsWith("tool_executor_")).map(base);
    expect([...new Set(asked.map(base))]).toEqual(expect.arrayContaining([...new Set(ours)]));
  });

  test("names in its legends only labels that are left", () => {
    for (const { expr, legendFormat } of targets) {
      const { grouped } = readPromql(readable(expr));
      for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        expect([expr, grouped]).toEqual([expr, expect.arrayContaining([label])]);
    }
  });

  test("has panels that do not lie upon each other, each with a number of its own", () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + (index % w)}/${y + Math.floor(index / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
  });
});

describe("each alert", () => {
  const anchors = [...read("docs/operations.md").matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replaceAll(" ", "-"),
  );

  test.each(rules.map((rule) => [rule.alert, rule] as const))("%s names a heading of the runbook", (_name, rule) => {
    const [file, anchor] = rule.annotations.runbook.split("#");
    expect(file).toBe("docs/operations.md");
    expect(anchors).toContain(anchor);
    expect(["critical", "warning", "info"]).toContain(rule.labels.severity);
    const { grouped } = readPromql(rule.expr);
    for (const [, label] of rule.annotations.summary.matchAll(/\$labels\.(\w+)/g)) expect(grouped).toContain(label);
  });

  test("has a name of its own, and the runbook's headings are those of alerts", () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    const named = rules.map(({ annotations }) => annotations.runbook.split("#")[1]);
    for (const heading of ["postgres-is-down", "lag-grows", "dead-letters", "an-executor-died", "disk-is-full"])
      expect(named).toContain(heading);
  });
});
