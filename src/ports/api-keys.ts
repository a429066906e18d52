import type { ApiKeyRecord } from "../model/api-key.ts";

/** The API keys of this installation. What one process writes the others see at their next call. */
export interface ApiKeys {
  /** Revoked and expired ones too, oldest first. @throws ExecutorError internal, for a record that cannot be read. */
  list(): readonly ApiKeyRecord[];
  /** @throws ExecutorError internal, for a record that cannot be read. */
  find(id: string): ApiKeyRecord | null;
  /** Durable when it returns; takes the place of the record with the same id. @throws ExecutorError internal */
  put(record: ApiKeyRecord): void;
}
