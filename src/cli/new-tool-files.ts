/** One file of a new tool's folder. */
export interface NewFile {
  /** Relative to the folder. */
  readonly path: string;
  readonly text: string;
  readonly executable: boolean;
}

/** A working tool to start from: it counts what is in a text. */
export const newToolFiles = (name: string): readonly NewFile[] => [
  { path: "tool.json", text: `${JSON.stringify(manifest(name), null, 2)}\n`, executable: false },
  { path: "files/run.sh", text: script, executable: true },
  { path: "tool.test.mjs", text: contractTest, executable: false },
  { path: "README.md", text: readme(name), executable: false },
  { path: ".gitignore", text: "node_modules/\n", executable: false },
];

const manifest = (name: string): object => ({
  name,
  description: "Counts the lines, words and bytes of a text.",
  image: "shell",
  command: ["./run.sh", "{{payload.text}}"],
  input_schema: {
    type: "object",
    additionalProperties: false,
    required: ["text"],
    properties: { text: { type: "string", maxLength: 10_000, description: "What to count." } },
    examples: [{ text: "to be\nor not to be\n" }],
  },
  output_schema: {
    type: "object",
    additionalProperties: false,
    required: ["lines", "words", "bytes"],
    properties: {
      lines: { type: "integer", minimum: 0 },
      words: { type: "integer", minimum: 0 },
      bytes: { type: "integer", minimum: 0 },
    },
    examples: [{ lines: 2, words: 6, bytes: 19 }],
  },
});

const script = `#!/bin/bash
# Runs in the sandbox, in /workspace. $1 is the payload's field "text"; the whole payload is the file $TOOL_PAYLOAD_FILE.
set -euo pipefail

read -r lines words bytes < <(printf '%s' "$1" | wc)
echo "$words words"

# The tool's value, checked against output_schema.
jq -n --argjson lines "$lines" --argjson words "$words" --argjson bytes "$bytes" '$ARGS.named' > /output/result.json
`;

const contractTest = `// Runs the tool in real sandboxes: its examples, what it must refuse, and how it ends at each limit.
// Needs Node 24 and the engine: node --test tool.test.mjs
import { test } from "node:test";
import { contractOf } from "tool-executor/kit";

for (const { name, check } of await contractOf(import.meta.dirname)) test(name, check);
`;

const readme = (name: string): string => `# ${name}

A tool for Tool Executor. Change:

- \`tool.json\`: what it is called with (\`input_schema\`), what it answers (\`output_schema\`), the command and its image. The examples in
  \`input_schema\` are what the contract test runs it with.
- \`files/\`: everything in it is put into \`/workspace\` for each call.

\`\`\`sh
toolx tools validate .       # is it in order?
node --test tool.test.mjs    # does it keep its contract? (Node 24)
\`\`\`
`;
