import type { Battery } from "./battery.ts";
import { engineSurfaceBatteries } from "./rows/engine-surface.ts";
import { escapeCheckBatteries } from "./rows/escape-checks.ts";
import { kernelCallBatteries } from "./rows/kernel-calls.ts";
import { kernelFileBatteries } from "./rows/kernel-files.ts";
import { otherAbiBatteries } from "./rows/other-abi.ts";
import { privilegeBatteries } from "./rows/privileges.ts";
import { selfWallingBatteries } from "./rows/self-walling.ts";
import { socketBatteries } from "./rows/socket-families.ts";

/** Everything that is tried against the kernel and the way out of a container. */
export const batteries: readonly Battery[] = [
  ...kernelFileBatteries,
  ...kernelCallBatteries,
  ...otherAbiBatteries,
  ...socketBatteries,
  ...privilegeBatteries,
  ...engineSurfaceBatteries,
  ...escapeCheckBatteries,
  ...selfWallingBatteries,
];
