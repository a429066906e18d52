export type Value = string | number | boolean | Buffer | null | readonly string[] | readonly number[];
export type Values = Readonly<Record<string, Value>>;

/** A statement as the server takes it. */
export interface Query {
  readonly text: string;
  readonly values: unknown[];
}

/**
 * Named parameters (`:taskId`) as the server's numbered ones, the same name always the same number. A cast (`::text`) is none.
 * @throws Error for a name without a value: our bug.
 */
export function positional(sql: string, values: Values): Query {
  const names: string[] = [];
  const text = sql.replaceAll(/(?<!:):([a-z]\w*)/gi, (_whole, name: string) => {
    if (!(name in values)) throw new Error(`a statement wants :${name}, which has no value`);
    if (!names.includes(name)) names.push(name);
    return `$${names.indexOf(name) + 1}`;
  });
  return { text, values: names.map((name) => values[name]) };
}
