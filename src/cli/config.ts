import type { SettingRow } from "../app/config.ts";
import type { CliContext } from "./context.ts";
import { written } from "./io.ts";

/** `toolx config show`. @throws ExecutorError validation, for a wrong setting, which then is the only thing shown. */
export async function configShowCommand(context: CliContext, json: boolean): Promise<void> {
  const { settings } = context.config();
  await written(context.io.stdout, json ? configJson(settings) : configTable(settings));
}

/** `toolx config show`: every setting with its value, where it came from and what it is, for a terminal. */
export function configTable(rows: readonly SettingRow[]): string {
  const cells = rows.map((row) => [row.name, withUnit(row), row.origin, row.description] as const);
  const header = ["SETTING", "VALUE", "FROM", "WHAT IT IS"] as const;
  const width = (column: 0 | 1 | 2): number => Math.max(...[header, ...cells].map((line) => line[column].length));
  const [nameWidth, valueWidth, originWidth] = [width(0), width(1), width(2)];
  const lines = [header, ...cells].map(([name, value, origin, description]) =>
    [name.padEnd(nameWidth), value.padEnd(valueWidth), origin.padEnd(originWidth), description].join("  "),
  );
  return `${lines.join("\n")}\n`;
}

/** `toolx config show -o json`: one array, one object a setting. */
export function configJson(rows: readonly SettingRow[]): string {
  return `${JSON.stringify(rows, null, 2)}\n`;
}

const withUnit = ({ value, unit }: SettingRow): string => (unit === null ? String(value) : `${value} ${unit}`);
