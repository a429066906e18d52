/** What one stream held back: the beginning of a form of a secret, named by its place among the forms. Nothing of a value. */
export interface HeldBack {
  readonly pattern: number;
  /** How many bytes of it were read; 0: none, and the pattern means nothing. */
  readonly bytes: number;
  /** How many of those belong to a secret that has its mark. */
  readonly coveredBytes: number;
}

/** Where the redaction of a task's output stood behind one piece of it: with the secrets enough for another process to go on. */
export interface RedactionPoint {
  /** Which list of forms the places count in. */
  readonly formsVersion: number;
  /** Marks that were written up to here. */
  readonly markCount: number;
  readonly stdout: HeldBack;
  readonly stderr: HeldBack;
}

export const nothingHeld: HeldBack = { pattern: 0, bytes: 0, coveredBytes: 0 };
