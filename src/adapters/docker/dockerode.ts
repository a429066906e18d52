import { createRequire, registerHooks } from "node:module";
import type Dockerode from "dockerode";

/** Loaded by dockerode at once, for builds over gRPC and for engines behind ssh: nothing here calls them. */
const unused: ReadonlySet<string> = new Set(["@grpc/grpc-js", "@grpc/proto-loader", "protobufjs", "ssh2"]);

let loaded: typeof Dockerode | undefined;

/** The engine's client. It is loaded at the first call: a command that needs no engine does not pay for it. */
export function newDockerode(options: Dockerode.DockerOptions): Dockerode {
  loaded ??= load();
  return new loaded(options);
}

/** Without what is unused, which is most of what it would load. */
function load(): typeof Dockerode {
  const hooks = registerHooks({
    resolve: (specifier, context, next) => next(unused.has(specifier) ? "node:events" : specifier, context),
  });
  try {
    return createRequire(import.meta.url)("dockerode");
  } finally {
    hooks.deregister();
  }
}
