/**
 * Checks that the messages' own checkers are made of. Each looks at one value, changes nothing, builds nothing while the
 * value is right, and throws FrameError naming the field otherwise.
 */
import { FrameError } from "../frame-error.ts";

export type Fields = Record<string, unknown>;

/** Names, ids, codes. */
export const NAME_LENGTH_MAX = 256;
/** Sentences for people. */
export const SENTENCE_LENGTH_MAX = 8_192;
/** What Linux allows for a path. */
export const PATH_LENGTH_MAX = 4_096;
/** A shell text may be nearly all of a specification. */
export const TEXT_LENGTH_MAX = 1_048_576;

export function refuse(field: string, expected: string): never {
  throw new FrameError(`"${field}" must be ${expected}`);
}

export function object(value: unknown, field: string): Fields {
  if (value === null || typeof value !== "object" || Array.isArray(value) || ArrayBuffer.isView(value)) {
    refuse(field, "an object");
  }
  return value as Fields;
}

export function array(value: unknown, field: string, lengthMax: number): unknown[] {
  if (!Array.isArray(value)) refuse(field, "a list");
  if (value.length > lengthMax) refuse(field, `a list of at most ${lengthMax}, not ${value.length}`);
  return value;
}

export function text(value: unknown, field: string, lengthMax: number = NAME_LENGTH_MAX): void {
  if (typeof value !== "string") refuse(field, "text");
  if (value.length > lengthMax) refuse(field, `at most ${lengthMax} characters long`);
}

export function flag(value: unknown, field: string): void {
  if (typeof value !== "boolean") refuse(field, "true or false");
}

export function integer(value: unknown, field: string, min = 0, max: number = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
    refuse(field, `a whole number from ${min} to ${max}`);
  }
}

/** A finite number that is not negative; resources may be fractions. */
export function amount(value: unknown, field: string): void {
  if (typeof value !== "number" || !(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) {
    refuse(field, "a number that is not negative");
  }
}

export function oneOf(value: unknown, field: string, choices: readonly unknown[]): void {
  if (!choices.includes(value)) refuse(field, `one of ${choices.join(", ")}`);
}

/** A column of whole numbers, as long as its group. */
export function column(value: unknown, field: string, length: number, min = 0, max = Number.MAX_SAFE_INTEGER): void {
  if (!Array.isArray(value) || value.length !== length) refuse(field, `a list of ${length}, one per task`);
  for (let i = 0; i < length; i++) {
    const item = value[i];
    if (!Number.isSafeInteger(item) || item < min || item > max) {
      refuse(field, `a list of whole numbers from ${min} to ${max}`);
    }
  }
}

/** An object used as a map, checked entry by entry; absent is allowed when `optional`. */
export function record(
  value: unknown,
  field: string,
  entriesMax: number,
  check: (item: unknown, field: string) => void,
): void {
  const entries = object(value, field);
  let count = 0;
  for (const name in entries) {
    if (++count > entriesMax) refuse(field, `at most ${entriesMax} entries`);
    if (name.length > NAME_LENGTH_MAX) refuse(field, `keyed by at most ${NAME_LENGTH_MAX} characters`);
    check(entries[name], field);
  }
}
