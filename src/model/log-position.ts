/**
 * A place in a task's output. Numbers count from 1 in each attempt; `part` tells lines apart that have the same number (a character
 * that was never completed stands in a line of its own).
 */
export interface LogPosition {
  readonly attempt: number;
  readonly seq: number;
  readonly part: number;
}

/** Before everything. */
export const logStart: LogPosition = { attempt: 0, seq: 0, part: 0 };

/** `ATTEMPT.SEQ`, and `.PART` where it is not the first. */
export const positionText = ({ attempt, seq, part }: LogPosition): string =>
  part === 0 ? `${attempt}.${seq}` : `${attempt}.${seq}.${part}`;

/** What {@link positionText} wrote, or a number alone: that of the attempt that is under way. Null for anything else. */
export function parsePosition(text: string): LogPosition | null {
  const match = /^(?:(\d{1,9})\.)?(\d{1,15})(?:\.(\d{1,9}))?$/.exec(text);
  if (match === null || (match[1] === undefined && match[3] !== undefined)) return null;
  return {
    attempt: match[1] === undefined ? anyAttempt : Number(match[1]),
    seq: Number(match[2]),
    part: Number(match[3] ?? 0),
  };
}

/** The attempt of a position that names none. */
export const anyAttempt = -1;

/** Whether `place` comes after `last`. Of another attempt than that of `last` everything does. */
export function isAfter(place: LogPosition, last: LogPosition): boolean {
  if (last.attempt !== anyAttempt && place.attempt !== last.attempt) return true;
  return place.seq > last.seq || (place.seq === last.seq && place.part > last.part);
}
