import type { BrokenToolReport, ToolReport } from "../ports/front.ts";
import type { Tool } from "../tools/tool.ts";

/** Tools as `tools ls` and `GET /v1/tools` tell of them. */
export function toolReport(tools: readonly Tool[], broken: readonly BrokenToolReport[]): ToolReport {
  return {
    tools: tools.map(described),
    broken: broken.map(({ name, source, problems }) => ({ name, source, problems })),
  };
}

function described({ name, description, images, runtime, limits, retry, inputSchema, outputSchema }: Tool) {
  return {
    name,
    description,
    images,
    runtime,
    limits: { ...limits },
    retry,
    input_schema: inputSchema,
    output_schema: outputSchema,
  };
}
