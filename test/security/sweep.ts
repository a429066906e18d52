import { callName } from "./call-names.ts";

/** Numbers tried; the kernel knows none beyond some 470 yet, and what it learns later is refused too. */
export const sweptNumbers = 1024;
/** All five arguments at once: rules that look at one answer these differently. */
const values = [0, 1, -1];

/** What the filter says to one call, by its number; a run of alike numbers without a name is one. */
export type Verdicts = ReadonlyMap<string, string>;

/**
 * Asks the filter about every call without making one: a filter of its own, laid over the sandbox's, holds each of these
 * calls back by a mark in the sixth argument, and the stricter of two filters wins. What the sandbox refuses comes back with
 * its error; what it allows comes to us, as a notification (errno 4000) or, where the kernel has none, as ENOSYS by the other
 * kind of hold. A call that ends its caller does so to a child, and the next child goes on behind it.
 */
export const sweepProgram = `
import ctypes, errno, fcntl, os, select, signal, struct, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
mark, held = 0x7001, 4000
class Program(ctypes.Structure): _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_void_p)]

def hold(action, flags):
    # Load the low half of the sixth argument; if it is the mark, answer with action, otherwise allow.
    lines = [(0x20, 0, 0, 56), (0x15, 0, 1, mark), (0x06, 0, 0, action), (0x06, 0, 0, 0x7fff0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in lines))
    made = libc.syscall(317, 1, flags, ctypes.byref(Program(4, ctypes.addressof(code))))
    return made if made >= 0 else -ctypes.get_errno()

def said(number, value, allowed):
    ctypes.set_errno(0)
    # The mark is the low half; rules look at five arguments and no more.
    answer = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(value)] * 5, ctypes.c_long(mark))
    if answer != -1: return f"got through with {answer}"
    return "allowed" if ctypes.get_errno() == allowed else errno.errorcode.get(ctypes.get_errno(), str(ctypes.get_errno()))

def child(first, writing):
    state, ready = {}, threading.Event()
    def ask():
        state["listener"] = hold(0x7fc00000, 8)
        state["allowed"] = held if state["listener"] >= 0 else errno.ENOSYS
        if state["listener"] < 0 and hold(0x7ff00000, 0) < 0: os._exit(3)
        ready.set()
        for number in range(first, ${sweptNumbers}):
            os.write(writing, b"%d" % number)
            for value in (${values.join(", ")}): os.write(writing, (" " + said(number, value, state["allowed"]).replace(" ", "_")).encode())
            os.write(writing, b"\\n")
        os._exit(0)
    threading.Thread(target=ask, daemon=True).start()
    ready.wait()
    while True:
        if state["listener"] < 0:
            signal.pause()
            continue
        try:
            select.select([state["listener"]], [], [])
            question = bytearray(80)
            fcntl.ioctl(state["listener"], 0xc0502100, question)
            fcntl.ioctl(state["listener"], 0xc0182101, struct.pack("QqiI", struct.unpack_from("Q", question)[0], 0, -held, 0))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINTR): os._exit(4)

first = 0
while first < ${sweptNumbers}:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        child(first, writing)
    os.close(writing)
    text = b""
    while more := os.read(reading, 65536): text += more
    os.close(reading)
    _, ended = os.waitpid(pid, 0)
    whole, _, rest = text.decode().rpartition("\\n")
    if whole: print(whole)
    if not rest: break
    print(rest.split(" ")[0], *[signal.Signals(os.WTERMSIG(ended)).name if os.WIFSIGNALED(ended) else f"exit_{os.WEXITSTATUS(ended)}"] * ${values.length}, flush=True)
    first = int(rest.split(" ")[0]) + 1
`;

/** From what {@link sweepProgram} printed. Neighbours without a name that are answered alike are one line. */
export function verdictsFrom(stdout: string): Verdicts {
  const lines: { readonly name: string; readonly first: number; last: number; readonly verdict: string }[] = [];
  for (const line of stdout.trim().split("\n")) {
    const [first = "", ...answers] = line.split(" ");
    const number = Number(first);
    const [name, verdict] = [callName(number), verdictOf(answers.map(wordFor))];
    const before = lines.at(-1);
    if (before?.name === "-" && name === "-" && before.verdict === verdict) before.last = number;
    else lines.push({ name, first: number, last: number, verdict });
  }
  return new Map(
    lines.map(({ name, first, last, verdict }) => [`${first === last ? first : `${first}-${last}`} ${name}`, verdict]),
  );
}

function verdictOf(answers: readonly string[]): string {
  if (new Set(answers).size === 1) return answers[0] ?? "";
  return answers.map((answer, at) => `${answer} with ${values[at]}`).join(", ");
}

function wordFor(answer: string): string {
  if (answer === "EPERM") return "refused";
  if (answer === "ENOSYS") return "absent";
  return answer.replaceAll("_", " ");
}
