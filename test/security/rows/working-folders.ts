import { expect } from "vitest";
import { brief, type HostileCase, hostile } from "../hostile-case.ts";

const folders: readonly string[] = [
  "/proc/self/fd/7",
  "/proc/self/fd/8/../../..",
  "/workspace/../proc/self/fd/8",
  "/workspace/./../../etc",
  "//proc/self/cwd",
  "/",
  "workspace",
];

export const workingFolderRows: readonly HostileCase[] = folders.map((cwd) =>
  hostile(
    "B26",
    `a payload that starts in ${cwd}`,
    async (ground) => {
      const payload = { command: "echo it ran", cwd };
      const error = await ground.refused({ task_id: "folder", tool_name: "shell", payload });
      expect(error).toMatchObject({ code: "validation", message: expect.stringContaining("payload.cwd") });
    },
    brief,
  ),
);
