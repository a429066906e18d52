/** What is stored under a key. */
export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
}

/** Which objects are old. */
export interface Old {
  /** Unix ms, by the store's own clock. */
  readonly putBefore: number;
  /** No more of them. */
  readonly limit: number;
  /** Those that stay all the same; none unless given. */
  readonly isSpared?: (key: string) => boolean;
}

/**
 * Large things by key. A key is made of checked ids, forward slashes between them; an object is there whole or not at all.
 * @throws ExecutorError internal when the store cannot be read or written (full, not writable), with nothing half-written left.
 */
export interface ObjectStore extends AsyncDisposable {
  /** Streams the body with bounded memory, a chunk being good until the next is asked for; visible only after the returned promise resolves. Replaces what was there. */
  put(key: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<StoredObject>;
  /**
   * The bytes from `start` (0) to `end` (exclusive, the end of the object), or null for a key that is not there. A chunk is good until the
   * next is asked for: whoever keeps one, or hands it to a stream that reads ahead, copies it.
   */
  get(
    key: string,
    signal: AbortSignal,
    range?: { readonly start: number; readonly end: number },
  ): Promise<AsyncIterable<Uint8Array> | null>;
  /** What stands under a prefix, in byte order of keys. */
  list(prefix: string, signal: AbortSignal): Promise<readonly StoredObject[]>;
  /** Removes everything under a prefix; nothing there is no error. */
  remove(prefix: string, signal: AbortSignal): Promise<void>;
  /** Removes these objects; one that is not there is no error. */
  removeKeys(keys: readonly string[], signal: AbortSignal): Promise<void>;
  /** Removes what is old under a prefix. Answers how many objects that were. */
  expire(prefix: string, old: Old, signal: AbortSignal): Promise<number>;
  /** Takes away what was put half by a process that died, and has not grown for `olderThanMs`. Answers how many. */
  sweep(olderThanMs: number, signal: AbortSignal): Promise<number>;
}
