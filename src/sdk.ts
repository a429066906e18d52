// The face of the package for modules that bring tools (`tool-executor/sdk`): the one file that only passes on what others define,
// so that the rooms behind it may change.
export { ExecutorError } from "./model/failure.ts";
export { argumentSchema, defineTool, payloadSchema, type ToolDefinition } from "./tools/define-tool.ts";
export type { Tool, ToolCommand, ToolFile } from "./tools/tool.ts";
