/** Brings a body to a receiver. Calls may run at once. */
export interface CallbackSender {
  /**
   * Resolves when the receiver has taken it (2xx). Nothing is followed, and no more of the answer is read than its status.
   * @throws ExecutorError policy_denied, when the place may not be called, which no further try mends; internal otherwise, naming the
   * place and why.
   */
  send(url: string, headers: Readonly<Record<string, string>>, body: Buffer, signal: AbortSignal): Promise<void>;
}
