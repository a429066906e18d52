/** What every program of a sandbox finds in its environment, whatever its task: the image's part, and where things are. */
export const sandboxEnvironment = (imageEnv: Readonly<Record<string, string>>): Readonly<Record<string, string>> => ({
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LANG: "C.UTF-8",
  ...imageEnv,
  HOME: "/workspace",
  USER: "sandbox",
  LOGNAME: "sandbox",
  TMPDIR: "/tmp",
  TOOL_OUTPUT_DIR: "/output",
});
