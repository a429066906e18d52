// The import directions of docs/architecture.md. An arrow the other way is a design question, not a lint nuisance.
const room = (name) => `^src/${name}/`;

/** Files of `from` may not import `to`. */
const never = (name, comment, from, to) => ({
  name,
  comment,
  severity: "error",
  from: { path: from },
  to: { path: to },
});

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: "no-cycles",
      comment: "a cycle means two files are one",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    never("model-knows-nobody", "the nouns and rules are pure", room("model"), "^src/(?!model/)"),
    never("ports-are-interfaces", "a port speaks of the model only", room("ports"), "^src/(?!model/|ports/)"),
    never(
      "schema-knows-the-model",
      "what crosses the wire turns into the model",
      room("schema"),
      "^src/(?!model/|schema/)",
    ),
    never(
      "observe-knows-the-model",
      "telemetry is below everything it watches",
      room("observe"),
      "^src/(?!model/|observe/|ports/)",
    ),
    never(
      "tools-look-down",
      "a tool knows no engine, store or line",
      room("tools"),
      "^src/(cli|app|loops|adapters|executor|secrets|knowledge)/",
    ),
    never(
      "secrets-look-down",
      "a value is looked for in the same forms, whatever it is given to",
      room("secrets"),
      "^src/(?!secrets/|ports/|schema/|model/)",
    ),
    never(
      "knowledge-looks-down",
      "what is found is ranked in one way, whatever store finds it",
      room("knowledge"),
      "^src/(?!knowledge/|ports/|schema/|model/)",
    ),
    never(
      "executor-knows-ports-only",
      "the line runs on any adapter",
      room("executor"),
      "^src/(cli|app|loops|adapters)/",
    ),
    never(
      "egress-decides-alone",
      "what judges a way out knows no engine, store, tool or line",
      room("egress"),
      "^src/(?!egress/|ports/|schema/|observe/|model/)",
    ),
    never("loops-look-down", "loops call the line, never the house", room("loops"), "^src/(cli|app|adapters)/"),
    never(
      "adapters-look-down",
      "an adapter serves a port",
      room("adapters"),
      "^src/(cli|app|loops|executor|tools|secrets|knowledge)/",
    ),
    {
      name: "adapters-are-strangers",
      comment: "each outside thing can be replaced in a day only if no other adapter leans on it",
      severity: "error",
      from: { path: "^src/adapters/([^/]+)/" },
      to: { path: "^src/adapters/", pathNot: "^src/adapters/$1/" },
    },
    never(
      "kit-is-for-others",
      "what tests of tools import is no part of the program, and would bring the whole house into it",
      "^src/(?!kit/)",
      room("kit"),
    ),
    never("kit-needs-no-command-line", "a contract is kept on the line, whoever calls it", room("kit"), room("cli")),
    never("client-is-for-others", "the program has a front of its own", "^src/(?!client/)", room("client")),
    never(
      "client-knows-the-description",
      "it is all that a caller elsewhere knows",
      room("client"),
      "^src/(?!client/)",
    ),
    never("sdk-is-for-others", "the program imports what it needs from where it is", "^src/", "^src/sdk\\.ts$"),
    never(
      "sdk-shows-tools-only",
      "a module that brings tools gets what tools get",
      "^src/sdk\\.ts$",
      "^src/(?!tools/|model/)",
    ),
    never("app-below-cli", "the command line is the outermost room", room("app"), room("cli")),
    {
      name: "no-orphans",
      comment: "what nobody imports is dead",
      severity: "error",
      from: { orphan: true, path: "^src/", pathNot: "^src/main\\.ts$" },
      to: {},
    },
    {
      name: "declared-packages-only",
      comment: "an undeclared package works by luck",
      severity: "error",
      from: { path: "^src/" },
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown", "unknown", "undetermined"] },
    },
    { name: "resolvable", comment: "a broken import", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    exclude: { path: "^(node_modules|dist)" },
    enhancedResolveOptions: {
      extensions: [".ts", ".js", ".json"],
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default"],
    },
  },
};
