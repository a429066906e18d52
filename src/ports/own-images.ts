/** An image that the operator added: a name that requests may use, bound to what it was when it was tried. */
export interface OwnImage {
  readonly name: string;
  /** `sha256:…` of the derived image, what the engine is asked to start. A name or tag is never looked up again. */
  readonly id: string;
  /** The reference it was added by, for people. */
  readonly source: string;
  readonly sourceId: string;
  /** The base image whose sandbox-init is in it. */
  readonly baseId: string;
  /** Unix milliseconds. */
  readonly addedAt: number;
}

/**
 * The images that were added to this installation. Several processes may use one list at the same time; what one writes
 * the others see at their next call.
 */
export interface OwnImages {
  names(): readonly string[];
  /** By name, in their order. @throws ExecutorError internal, for a record that cannot be read. */
  list(): readonly OwnImage[];
  /** @throws ExecutorError internal, for a record that cannot be read. */
  find(name: string): OwnImage | null;
  /** Takes the place of an image with the same name; durable when it returns. @throws ExecutorError internal */
  put(image: OwnImage): void;
  /** False: there was none with this name. */
  remove(name: string): boolean;
}
