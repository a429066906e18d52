/** The label that says which of our images this is. Inherited by what is built on it, so never believed without the tag. */
export const imageLabel = "tool-executor.image";

/** The label with the whole hash of what the image was made from. */
export const inputsLabel = "tool-executor.inputs";

/** The label a Dockerfile gives its build stages: the stage's name. They have no tag, and are kept as the cache of the next build. */
export const stageLabel = "tool-executor.stage";

/** What the names of our images begin with on every engine; only a test takes another, to stay out of the way. */
export const ownRepository = "tool-executor";

/** One version of an image. `inputs` is the whole hash. */
export interface ImageVersion {
  readonly repository: string;
  readonly name: string;
  readonly inputs: string;
}

/** Its one name in the engine. There is no `latest`. */
export function imageReference({ repository, name, inputs }: ImageVersion): string {
  return `${repository}/${name}:${inputs.slice(0, 12)}`;
}

/** The image before its user names were sealed: what other images are built on, and nothing ever runs from. */
export function openName(name: string): string {
  return `${name}-open`;
}

/** The build stage that other images get their packages with. It trusts the operator's certificates; nothing runs from it. */
export function fetchName(name: string): string {
  return `${name}-fetch`;
}
