import { describe, expect, test } from "vitest";
import { type RunFlags, runRequest } from "../../../src/cli/run-request.ts";
import { builtInTools, toolCatalog } from "../../../src/tools/catalog.ts";

const flags: RunFlags = { file: [], allow: [], env: [], secret: [], output: "text" };
const request = (tool: string, args: readonly string[], more: Partial<RunFlags> = {}) =>
  runRequest(tool, args, { ...flags, ...more }, "/", async () => toolCatalog(builtInTools()));

describe("toolx run http", () => {
  test("takes a URL alone", async () => {
    const url = "https://api.example.com/";
    expect(await request("http", [url])).toMatchObject({ tool_name: "http", payload: { url } });
  });

  test("takes a payload for all else", async () => {
    await expect(request("http", ["GET", "https://api.example.com/"])).rejects.toThrow("--payload JSON");
    const payload = { url: "https://api.example.com/", method: "HEAD" };
    expect(await request("http", [], { payload: JSON.stringify(payload) })).toMatchObject({ payload });
  });
});
