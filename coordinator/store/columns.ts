/**
 * Columns of the journal on their way to and from PostgreSQL. Numbers go as array literals (the driver's own way quotes
 * every element) in the three forms of db/migrations/000002: null for all default, one element for all equal, else all.
 * What an agent reports is brought into the column's range here: a hostile number or text must not fail an append, for
 * that ends a reign.
 */
import type pg from "pg";

/** Which integers a column takes. */
interface Range {
  min: number;
  max: number;
}

export const SMALLINT: Range = { min: -(2 ** 15), max: 2 ** 15 - 1 };
export const INTEGER: Range = { min: -(2 ** 31), max: 2 ** 31 - 1 };
/** As far as JavaScript counts exactly. */
export const BIGINT: Range = { min: -Number.MAX_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER };

/** All values of `parts`, one after the other, as an array literal. */
export function allNumbers(parts: readonly (readonly number[])[], range: Range): string {
  return `{${parts.map((part) => literalOf(part, range)).join(",")}}`;
}

/** The shortest form of a column whose values are `parts`, one after the other; `fallback` null: it has no default. */
export function column(parts: readonly (readonly number[])[], range: Range, fallback: number | null): string | null {
  const first = parts[0]?.[0];
  if (first === undefined) return null;
  if (!parts.every((part) => isUniform(part, first))) return allNumbers(parts, range);
  const value = inRange(first, range);
  return value === fallback ? null : `{${value}}`;
}

/** The `length` values that a stored column stands for. */
export function expand(stored: number[] | null, length: number, fallback: number): number[] {
  if (stored === null) return new Array<number>(length).fill(fallback);
  if (stored.length === length) return stored;
  return new Array<number>(length).fill(stored[0] as number);
}

function isUniform(part: readonly number[], value: number): boolean {
  for (let i = 0; i < part.length; i++) if (part[i] !== value) return false;
  return true;
}

function literalOf(part: readonly number[], range: Range): string {
  for (let i = 0; i < part.length; i++) {
    const value = part[i] as number;
    if (!Number.isInteger(value) || value < range.min || value > range.max) {
      return part.map((each) => inRange(each, range)).join(",");
    }
  }
  return part.join(",");
}

function inRange(value: number, { min, max }: Range): number {
  if (Number.isNaN(value)) return Math.max(min, 0);
  return Math.min(max, Math.max(min, Math.trunc(value)));
}

/** Text that PostgreSQL takes: it knows no NUL and no half of a surrogate pair. */
export function storable(text: string): string {
  return (text.includes("\0") ? text.replaceAll("\0", "\uFFFD") : text).toWellFormed();
}

/** Sparse texts by position as a JSON object; null when there are none. */
export function sparseTexts(texts: Record<string, string>): string | null {
  const entries = Object.entries(texts);
  if (entries.length === 0) return null;
  return JSON.stringify(Object.fromEntries(entries.map(([position, text]) => [position, storable(text)])));
}

const INT8 = 20;
const INTEGER_ARRAYS = new Set([1005, 1007, 1016]);

/** How our queries read their answers: numbers below 2^53 as numbers, arrays of them without the driver's slow parser. */
export function storeTypes(defaults: typeof pg.types): pg.CustomTypesConfig {
  return {
    getTypeParser: ((oid: number, format?: "text" | "binary") => {
      if (oid === INT8) return Number;
      if (INTEGER_ARRAYS.has(oid)) return (text: string) => JSON.parse(`[${text.slice(1, -1)}]`);
      return defaults.getTypeParser(oid, format as "text");
    }) as typeof pg.types.getTypeParser,
  };
}
