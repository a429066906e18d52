import { spawnSync } from "node:child_process";

/** What Python's `ipaddress` and the C library's `inet_aton` make of texts. */
export interface PythonView {
  /** `is_global` of each, and whether it is a multicast address; null for what is no address to it. */
  readonly addresses: readonly ({ readonly isGlobal: boolean; readonly isMulticast: boolean } | null)[];
  /** The address that `inet_aton` takes each host for, however it is spelled; null for none. */
  readonly hosts: readonly (string | null)[];
}

const program = `
import ipaddress, json, socket, sys
asked = json.load(sys.stdin)
def address(text):
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return {"isGlobal": ip.is_global, "isMulticast": ip.is_multicast}
def host(text):
    try:
        return socket.inet_ntoa(socket.inet_aton(text))
    except (OSError, ValueError):
        return None
print(json.dumps({"addresses": [address(t) for t in asked["addresses"]], "hosts": [host(t) for t in asked["hosts"]]}))
`;

/** @throws when there is no Python, with what to install. */
export function pythonView(asked: {
  readonly addresses: readonly string[];
  readonly hosts: readonly string[];
}): PythonView {
  const { status, stdout, stderr, error } = spawnSync("python3", ["-I", "-c", program], {
    input: JSON.stringify(asked),
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (error !== undefined) throw new Error("python3 is missing; install it: apt-get install python3", { cause: error });
  if (status !== 0) throw new Error(`python3 ended with ${status}: ${stderr}`);
  return JSON.parse(stdout) as PythonView;
}
