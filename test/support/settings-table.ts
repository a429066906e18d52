import { type Host, limitSettings, type Setting, settings } from "../../src/app/config-schema.ts";
import { defaultLimitRules, type LimitName } from "../../src/model/limits.ts";

/** What of a setting stands in the table. */
interface Described extends Pick<Setting<string>, "name" | "unit" | "allowed" | "description"> {
  readonly byDefault: (host: Host) => string | number;
}

/** Every setting of the schema as a table in Markdown, for docs/operations.md. */
export function settingsTable(): string {
  const all: readonly Described[] = [
    ...Object.values(settings),
    ...Object.keys(defaultLimitRules).flatMap((name) => {
      const { byDefault, max } = limitSettings(name as LimitName);
      return [byDefault, max];
    }),
  ];
  const rows = all
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((one) => `| \`${one.name}\` | ${defaultOf(one)} | ${cell(one.allowed)} | ${cell(one.description)} |`);
  return ["| setting | default | may be | is |", "|---|---|---|---|", ...rows].join("\n");
}

const one: Host = {
  ...{ uid: 0, cpus: 4, homeDir: "/root", cwd: "/", checkoutDir: "/checkout" },
  ...{ xdgStateHome: null, xdgRuntimeDir: null, sandboxRootUid: null },
};
const other: Host = {
  ...one,
  uid: 1000,
  cpus: 16,
  homeDir: "/home/me",
  checkoutDir: null,
  xdgRuntimeDir: "/run/user/1000",
};

function defaultOf({ byDefault, unit }: Described): string {
  const value = byDefault(one);
  if (value !== byDefault(other)) return "by the machine";
  if (value === "") return "";
  return `\`${value}\`${unit === null ? "" : ` ${unit}`}`;
}

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
