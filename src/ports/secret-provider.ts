/** Where the operator keeps what tasks may use and nobody may see. What changes there is seen at the next call. */
export interface SecretProvider {
  /**
   * The value as it is kept, an end of line at its end included; null where this tenant has none of this name, whoever else has.
   * @throws ExecutorError policy_denied, naming the secret, when it is there and must not be used as it is kept; validation, when the
   * place itself is not what it must be; internal, when it cannot be asked now. No message holds a value.
   */
  find(tenantId: string, name: string, signal: AbortSignal): Promise<Uint8Array | null>;
}
