/** Time as the line sees it; a port so that rules about time can be tested without waiting. */
export interface Clock {
  /** Unix milliseconds. */
  now(): number;
  /** Milliseconds that never jump. */
  monotonicMs(): number;
}
