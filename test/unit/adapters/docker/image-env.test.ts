import { expect, test } from "vitest";
import { keptImageEnv } from "../../../../src/adapters/docker/image-env.ts";

test.each([
  "PATH",
  "LANG",
  "LC_ALL",
  "TZ",
  "PYTHONDONTWRITEBYTECODE",
  "MPLBACKEND",
  "JAVA_HOME",
  "GOPATH",
  "NODE_PATH",
])("%s of an image reaches a task", (name) => {
  expect(keptImageEnv({ [name]: "value" })).toEqual({ [name]: "value" });
});

test.each([
  "LD_PRELOAD",
  "LD_LIBRARY_PATH",
  "NODE_OPTIONS",
  "PYTHONSTARTUP",
  "PYTHONHOME",
  "PYTHONINSPECT",
  "BASH_ENV",
  "ENV",
  "HOME",
  "USER",
  "GODEBUG",
  "HTTP_PROXY",
  "LC_ALL;x",
  "__proto__",
])("%s of an image does not", (name) => {
  expect(keptImageEnv(Object.fromEntries([[name, "value"]]))).toEqual({});
});
