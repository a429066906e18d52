import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { bytesPerMb, type Limits } from "../../model/limits.ts";
import { defineTool } from "../define-tool.ts";
import type { Tool, ToolFile } from "../tool.ts";
import { type HttpPayload, inputSchema, requestOf } from "./request.ts";
import { outputSchema } from "./value-schema.ts";

/**
 * Sends one request, and follows where it is led. What is sent, a program of ours (`program/`) sends from within the sandbox, whose only way out
 * is the proxy that judges by the task's `network.allow`: the first request as well as each redirect. The program reads hostile answers, so it
 * is kept in by the same walls as any task's.
 *
 * A request may change something at its host, so no call is started a second time.
 */
export function httpTool(): Tool {
  const program = programFiles();
  return defineTool<HttpPayload>({
    name: "http",
    description:
      "Sends one HTTP request to a host that network.allow names, follows redirects, and returns status, headers and body; a large or binary body becomes an artifact.",
    inputSchema,
    outputSchema,
    images: ["node"],
    runtime: null,
    limits: {},
    retry: "unsafe",
    command(payload, { limits }) {
      const request = { ...requestOf(payload), totalMs: totalMs(limits), maxBodyBytes: maxBodyBytes(limits) };
      return {
        image: "node",
        argv: ["node", "--use-openssl-ca", `${folder}/main.cjs`],
        // The image's store, in which one certificate is found without reading all of them.
        env: { SSL_CERT_DIR: "/etc/ssl/certs" },
        cwd: "/workspace",
        files: [{ path: `${folder}/request.json`, bytes: Buffer.from(JSON.stringify(request)) }, ...program],
      };
    },
  });
}

/** Below `/workspace`. Under a reserved name, so that it clashes with no file of the request. */
const folder = ".toolx-http";

const programFiles = (): readonly ToolFile[] => {
  const from = join(import.meta.dirname, "program");
  return readdirSync(from).map((name) => ({ path: `${folder}/${name}`, bytes: readFileSync(join(from, name)) }));
};

/** The program ends by itself a little before the task would be ended, and can say what it waited for. */
function totalMs({ timeout_seconds }: Limits): number {
  const timeoutMs = timeout_seconds * 1000;
  return timeoutMs - Math.min(1000, timeoutMs / 4);
}

/** Leaves room in `/output` for headers and addresses beside the body. */
const maxBodyBytes = ({ output_mb }: Limits): number => Math.min(10 * bytesPerMb, output_mb * bytesPerMb - 256 * 1024);
