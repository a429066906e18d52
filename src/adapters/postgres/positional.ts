export type Value = Single | Buffer | readonly Single[];
type Single = string | number | boolean | null;
export type Values = Readonly<Record<string, Value>>;

/** A statement as the server takes it. */
export interface Query {
  /** The same for the same text: a connection has it parsed and planned once. */
  readonly name: string;
  readonly text: string;
  readonly values: unknown[];
}

interface Compiled {
  readonly name: string;
  readonly text: string;
  readonly parameters: readonly string[];
}

/** Makes statements with named parameters (`:taskId`) into the server's. Remembers each text it has seen: ours are few and constant. */
export function positionalQueries(): (sql: string, values: Values) => Query {
  const known = new Map<string, Compiled>();
  return (sql, values) => {
    const { name, text, parameters } = known.get(sql) ?? compile(sql, `toolx_${known.size}`);
    known.set(sql, { name, text, parameters });
    return { name, text, values: parameters.map((parameter) => given(values, parameter)) };
  };
}

/** The same name is always the same number. A cast (`::text`) is no name. */
function compile(sql: string, name: string): Compiled {
  const parameters: string[] = [];
  const text = sql.replaceAll(/(?<!:):([a-z]\w*)/gi, (_whole, parameter: string) => {
    if (!parameters.includes(parameter)) parameters.push(parameter);
    return `$${parameters.indexOf(parameter) + 1}`;
  });
  return { name, text, parameters };
}

function given(values: Values, parameter: string): Value {
  const value = values[parameter];
  if (value === undefined) throw new Error(`a statement wants :${parameter}, which has no value`);
  return value;
}
