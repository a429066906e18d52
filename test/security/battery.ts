import { expect } from "vitest";
import type { Limits } from "../../src/model/limits.ts";
import type { Ground, Hooks } from "./ground.ts";
import { expectReason, type HostileCase, hostile, isGvisor, program } from "./hostile-case.ts";
import { withImage } from "./with-image.ts";

/** Many inputs of one row that need one task only. Each is tried in a process of its own and judged by its name. */
export interface Battery {
  /** Of the row. */
  readonly id: string;
  readonly name: string;
  readonly tries: readonly Try[];
  /** What a Dockerfile puts over the image first, as root. */
  readonly imageLines: readonly string[];
  readonly limits: Partial<Limits>;
}

/** One hostile input: Python in the `python` image, with the names of {@link vocabulary}. */
export interface Try {
  readonly name: string;
  /** Its last expression is the answer: `done` where that is None, the error's name where one was raised, the signal that ended it. */
  readonly code: string;
  readonly expected: Answer;
  /** Where gVisor's own kernel answers otherwise. */
  readonly onGvisor: Answer;
}

export type Answer = string | RegExp;
export type Answers = ReadonlyMap<string, string>;

type BatteryRest = Partial<Pick<Battery, "imageLines" | "limits">>;

export const battery = (id: string, name: string, tries: readonly Try[], rest: BatteryRest = {}): Battery => ({
  id,
  name,
  tries,
  imageLines: [],
  limits: {},
  ...rest,
});

/** `expected`: as a whole where it is text. */
export const attempt = (name: string, code: string, expected: Answer, onGvisor: Answer = expected): Try => ({
  name,
  code,
  expected,
  onGvisor,
});

/** A battery as a case of the suite; it counts as many inputs as it tries. */
export const batteryCase = (one: Battery): HostileCase =>
  hostile(one.id, one.name, async (ground) => expect(await surprises(ground, one)).toEqual([]), {
    isBrief: true,
    inputs: one.tries.length,
  });

/** One line for each try that came out otherwise than it must; its name comes first. */
export async function surprises(ground: Ground, one: Battery, hooks: Hooks = {}): Promise<readonly string[]> {
  const act = async (house: Hooks["house"]): Promise<readonly string[]> => {
    const { result } = await ground.run(requestFor(one), house === undefined ? hooks : { ...hooks, house });
    expectReason(result, "ok");
    const answers = new Map(result.output.stdout.split("\n").map(nameAndAnswer));
    return one.tries.flatMap(({ name, expected, onGvisor }) => {
      const wanted = isGvisor(result) ? onGvisor : expected;
      const answer = answers.get(name) ?? "nothing was said";
      const isAsWanted = typeof wanted === "string" ? answer === wanted : wanted.test(answer);
      return isAsWanted ? [] : [`${name}: ${answer}, not ${wanted}`];
    });
  };
  if (one.imageLines.length === 0) return await act(hooks.house);
  let found: readonly string[] = [];
  await withImage(hooks.house ?? ground.house, "python", one.imageLines, async (house) => {
    found = await act(house);
  });
  return found;
}

const requestFor = ({ tries, limits }: Battery) =>
  program(
    ["python3", "-c", vocabulary, JSON.stringify(tries.map(({ name, code }) => [name, code]))],
    { ...limits, timeout_seconds: 60 },
    "python",
  );

function nameAndAnswer(line: string): [string, string] {
  const at = line.indexOf("\t");
  return [line.slice(0, at), line.slice(at + 1)];
}

/** What the code of a try may use. Whatever it does ends with its process. */
const vocabulary = `
import ast, ctypes, errno, glob, json, os, re, select, signal, socket, stat, struct, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
R, W, RW, A = os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND

def call(number, *args):
    "The call itself, by number. Text and buffers go by address."
    ctypes.set_errno(0)
    answer = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(one) if isinstance(one, int) else one for one in args])
    if answer == -1: raise OSError(ctypes.get_errno(), "")
    return answer

def forks(number, *args):
    "A call that may make a process, which ends at once."
    made = call(number, *args)
    if made == 0: os._exit(0)
    os.waitpid(made, 0x40000000)  # __WALL

def inside(flags, act):
    "What an act answers in a process of new namespaces, made by clone3."
    reading, writing = os.pipe()
    if call(435, buffer(88, struct.pack("QQQQQ", flags, 0, 0, 0, 17)), 88) == 0:
        said = "done"
        try: act()
        except OSError as error: said = errno.errorcode[error.errno]
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    return os.read(reading, 100).decode()

def traced(pid):
    "Attached to and let go of again: a tracer that ends otherwise may leave it stopped."
    call(101, 16, pid, 0, 0)
    os.waitpid(pid, 0x40000000)
    call(101, 17, pid, 0, 0)

def buffer(size=4096, bytes=b""): return ctypes.create_string_buffer(bytes, size)

def opens(path, flags=R):
    "Opened and let go of: nothing is read or written, so that a wall that fails harms nobody."
    os.close(os.open(path, flags))

def mount(source, target, kind, flags=0, data=None):
    if libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data) != 0:
        raise OSError(ctypes.get_errno(), "")

def sock(family, kind, protocol=0): socket.socket(family, kind, protocol).close()

def read(path, size=1 << 20):
    with open(path, "rb") as file: return file.read(size).decode("utf-8", "replace")

def output(*argv):
    "What a program printed, and how it ended unless well."
    ran = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    said = (ran.stdout + ran.stderr).strip().replace("\\n", "; ")
    return said if ran.returncode == 0 else f"exit {ran.returncode}: {said}"

def status(name): return re.search(rf"^{name}:\\s*(.*)$", read("/proc/self/status"), re.M).group(1)

def those(test, things):
    "The names for which the test holds, or none; an error is a no."
    found, count = [], 0
    for one in things:
        count += 1
        try:
            if test(one): found.append(str(one))
        except OSError: pass
    if count == 0: return "nothing to try"
    return "none" if not found else " ".join(sorted(found)[:20])

def said(act):
    "The error's name, or done."
    try: act()
    except OSError as error: return errno.errorcode.get(error.errno, str(error))
    return "done"

def can(flags):
    def test(path):
        opens(path, flags | os.O_NONBLOCK)
        return True
    return test

def below(folder):
    for at, _, names in os.walk(folder):
        for name in names: yield os.path.join(at, name)

def answer(code):
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    names = dict(globals())
    exec(compile(tree, "try", "exec"), names)
    value = None if last is None else eval(compile(ast.Expression(last.value), "try", "eval"), names)
    return "done" if value is None else str(value)

def tried(code):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        try: said = answer(code)
        except OSError as error: said = errno.errorcode.get(error.errno, str(error))
        except BaseException as error: said = f"{type(error).__name__}: {error}"
        os.write(writing, said.replace("\\n", "; ").encode()[:4000])
        os._exit(0)
    os.close(writing)
    said, is_late = b"", False
    while True:
        if not select.select([reading], [], [], 8)[0]:
            is_late = True
            break
        more = os.read(reading, 65536)
        if not more: break
        said += more
    os.close(reading)
    if is_late:
        try: os.killpg(child, signal.SIGKILL)
        except OSError: pass
    _, ended = os.waitpid(child, 0)
    if said: return said.decode("utf-8", "replace")
    return "no answer in 8 s" if is_late else signal.Signals(os.WTERMSIG(ended)).name if os.WIFSIGNALED(ended) else "silence"

if __name__ == "__main__":
    for name, code in json.loads(sys.argv[1]): print(f"{name}\\t{tried(code)}", flush=True)
`;
