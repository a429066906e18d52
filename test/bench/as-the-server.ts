import { setFlagsFromString } from "node:v8";
import { serverFlags } from "./server-flags.ts";

// Before anything that is measured is loaded: parts that have the executor in this process would otherwise measure one that nobody runs.
for (const flag of serverFlags) setFlagsFromString(flag);
