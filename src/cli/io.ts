import type { Readable, Writable } from "node:stream";
import { terminalName } from "./terminal-text.ts";

/** What a command may touch of the process it runs in. */
export interface CliIo {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Aborts when the user interrupts. */
  readonly interrupt: AbortSignal;
}

/** Writes and waits while the reader is slow. @throws for a reader that went away ({@link isClosedPipe}). */
export function written(stream: Writable, chunk: string | Buffer): Promise<void> {
  if (chunk.length === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    stream.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}

/** One line of our own words, whatever names are in it. */
export const say = (io: Pick<CliIo, "stderr">, line: string): void =>
  void io.stderr.write(`${terminalName(line)}
`);

/** Rows under a heading, columns as wide as needed. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return rows.map((cells) => `${line(cells)}\n`).join("");
}

/** The reader of a pipe went away, as `head` does. */
export const isClosedPipe = (error: unknown): boolean =>
  error instanceof Error && "code" in error && (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED");
