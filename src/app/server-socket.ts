import { join } from "node:path";
import type { Config } from "./config.ts";

/** Where a server of this data folder listens for the command line. */
export const serverSocket = ({ dataDir }: Pick<Config, "dataDir">): string => join(dataDir, "serve.sock");
