import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { type Owner, parseOwner } from "../../src/model/owner.ts";

/** Another executor as far as ownership goes: a process of its own with its own socket. Killed on dispose. */
export interface LiveProcess extends AsyncDisposable {
  readonly owner: Owner;
  signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT" | "SIGTERM"): void;
  /** Resolves with the next line it prints, such as `poked`. */
  nextLine(): Promise<string>;
  ended(): Promise<void>;
}

const program = `
import { hostLiveness } from ${JSON.stringify(new URL("../../src/adapters/disk/host-liveness.ts", import.meta.url).href)};
import { ownerText } from ${JSON.stringify(new URL("../../src/model/owner.ts", import.meta.url).href)};
const liveness = await hostLiveness(process.argv[1]);
liveness.onPoke(() => console.log("poked"));
console.log(ownerText(liveness.self));
process.on("SIGTERM", async () => { await liveness[Symbol.asyncDispose](); process.exit(0); });
setInterval(() => {}, 1000);
`;

export async function liveProcess(runtimeDir: string): Promise<LiveProcess> {
  const child: ChildProcess = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", program, runtimeDir],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = once(child, "exit");
  if (child.stdout === null) throw new Error("no pipe to the child");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string> => (await lines.next()).value ?? "";
  const owner = parseOwner(await nextLine());
  if (owner === null) throw new Error("the child said no owner");
  return {
    owner,
    signal: (name) => void child.kill(name),
    nextLine,
    async ended() {
      await ended;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
