import type { RuntimeTraits } from "../adapters/docker/runtimes.ts";
import type { Result } from "../model/result.ts";
import type { Check } from "./probe.ts";

/** Goes against every wall at once and prints `name=what came of it`, a line each. `/var/tmp` is open to everybody but for the wall. */
export const wallScript = `
for place in / /etc /usr /var /root; do
  if touch "$place/doctor" 2> /tmp/why; then echo "root=written below $place"; fi
done
echo "root=$(touch /var/tmp/doctor 2>&1 | sed 's/.*: //')"
echo "network=$(tail -n +3 /proc/net/dev | cut -d: -f1 | xargs)"
if (exec 3<> /dev/tcp/192.0.2.1/80) 2> /tmp/why; then echo "network=connected"; fi
echo "user=$(id -u):$(id -g)"
grep -E '^(Seccomp|CapInh|CapPrm|CapEff|CapBnd):' /proc/self/status | tr -d '\\t ' | tr : =
setpriv --dump 2> /tmp/why | sed -n -e 's/^no_new_privs: /NoNewPrivs=/p' -e 's/^Ambient capabilities: /CapAmb=/p'
if unshare -Ur true 2> /tmp/why; then echo "namespace=made"; else echo "namespace=refused"; fi
`;

/** What must have come of {@link wallScript}. */
export const wallChecks = ({ whenAWallFalls }: RuntimeTraits): readonly Check[] =>
  walls.map((one) => ({ ...one, advice: `this wall does not hold: ${whenAWallFalls}` }));

const walls: readonly Omit<Check, "advice">[] = [
  wall("read-only root", "write to /, /etc, /usr, /var, /root, /var/tmp", { root: /^Read-only file system$/ }),
  wall("no network", "look for interfaces, connect to 192.0.2.1", { network: /^lo$/ }),
  wall("not root", "ask for user and group", { user: /^[1-9]\d*:[1-9]\d*$/ }),
  wall("no new privileges", "ask with prctl", { NoNewPrivs: /^1$/ }),
  wall("no capabilities", "read /proc/self/status, ask with prctl", {
    CapInh: /^0+$/,
    CapPrm: /^0+$/,
    CapEff: /^0+$/,
    CapBnd: /^0+$/,
    // A kernel that knows no ambient capabilities gives none.
    CapAmb: /^\[(?:none|unsupported)\]$/,
  }),
  wall("system call filter", "read /proc/self/status, make a user namespace", {
    Seccomp: /^2$/,
    namespace: /^refused$/,
  }),
];

/** `wanted`: each name must have been printed, and every value printed for it must match. */
export function wall(name: string, tried: string, wanted: Readonly<Record<string, RegExp>>): Omit<Check, "advice"> {
  return {
    name,
    tried,
    otherwise: "fail",
    look: (result) => {
      const printed = printedValues(result);
      const values = Object.keys(wanted).map((key) => printed.get(key) ?? []);
      const holds = Object.values(wanted).every((pattern, index) => {
        const found = values[index] ?? [];
        return found.length > 0 && found.every((value) => pattern.test(value));
      });
      const names = Object.keys(wanted);
      const seen = names
        .map(
          (key, index) =>
            `${key} ${values[index]?.map((value) => value.replace(/^0+$/, "0")).join(", ") || "not known"}`,
        )
        .join(" · ");
      return { holds: holds && result.reason === "ok", seen: result.reason === "ok" ? seen : result.reason };
    },
  };
}

function printedValues({ output }: Result): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, readonly string[]>();
  for (const line of output.stdout.split("\n")) {
    const at = line.indexOf("=");
    if (at < 1) continue;
    const name = line.slice(0, at);
    values.set(name, [...(values.get(name) ?? []), line.slice(at + 1)]);
  }
  return values;
}
