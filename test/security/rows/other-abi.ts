import { attempt, type Battery, battery, type Try } from "../battery.ts";

const x32 = (name: string, number: number): Try =>
  // Ended by the filter; gVisor refuses and goes on.
  attempt(`${name} of x32`, `call(0x40000000 | ${number}, 0, 0, 0); None`, "SIGSYS", "EPERM");

/** `int 0x80` with this number in eax, as machine code in a page of its own. */
const thirtyTwoBit = (name: string, number: number): Try =>
  attempt(
    `${name} of 32 bits`,
    `import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b"\\x53\\x31\\xdb\\x31\\xc9\\x31\\xd2\\xb8" + struct.pack("I", ${number}) + b"\\xcd\\x80\\x5b\\xc3")
made = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"answered" if made >= 0 else errno.errorcode.get(-made)`,
    // A kernel that was built without them has no such gate.
    /^SIG(SYS|SEGV)$/,
    /^(EPERM|ENOSYS|SIGSEGV|SIGSYS|SIGILL)$/,
  );

/** A second table of calls, with the bugs of its own. */
export const otherAbiBatteries: readonly Battery[] = [
  battery("B15", "calls of another ABI", [
    x32("getpid", 39),
    x32("open", 2),
    x32("ptrace", 521),
    x32("execve", 520),
    x32("io_setup", 543),
    x32("clone3", 435),
    thirtyTwoBit("getpid", 20),
    thirtyTwoBit("personality", 136),
  ]),
];
