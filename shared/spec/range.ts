/**
 * Ranges of task_inputs: `a..b` and `a..b..step`, both ends included, decimals exact, counted without being expanded.
 */
import { TEMPLATE_TASKS_MAX } from "../model/constants.ts";
import type { InputAxis } from "../model/definition.ts";

/** Digits and exponents beyond this are no numbers of a sweep; it bounds the arithmetic. */
const DIGITS_MAX = 18;
const DECIMAL = /^([+-]?)(\d{1,40})(?:\.(\d{1,40}))?(?:[eE]([+-]?\d{1,4}))?$/;

interface Decimal {
  /** value = units × 10^−decimals */
  units: bigint;
  decimals: number;
}

/** The axis, or a sentence that says what is wrong. */
export function parseRange(name: string, text: string): InputAxis | { message: string; hint?: string } {
  const parts = text.trim().split("..");
  if (parts.length < 2) {
    return {
      message: `${quote(text)} is neither a list nor a range a..b or a..b..step`,
      hint: `a single value is written [${text.slice(0, 40)}]`,
    };
  }
  if (parts.length > 3) return { message: `${quote(text)} is not a range; write a..b or a..b..step` };
  const numbers = parts.map(parseDecimal);
  const bad = numbers.indexOf(undefined);
  if (bad >= 0) {
    return {
      message: `${quote(parts[bad] ?? "")} in the range ${quote(text)} is not a number with at most ${DIGITS_MAX} digits`,
    };
  }
  const [from, to, given] = numbers as [Decimal, Decimal, Decimal | undefined];
  // The end only bounds, it does not make more decimals: 1..2.5 is 1, 2.
  const step = given ?? { units: 1n, decimals: 0 };
  const decimals = Math.max(from.decimals, step.decimals);
  const scale = Math.max(decimals, to.decimals);
  const [a, b, s] = [rescale(from, scale), rescale(to, scale), rescale(step, scale)];
  if (s === 0n) return { message: `the step of ${quote(text)} is 0` };
  if (a < b && s < 0n) return { message: `${quote(text)} counts up with a negative step`, hint: "leave the minus out" };
  if (a > b && s > 0n) {
    const hint = given ? `${parts[0]}..${parts[1]}..-${parts[2]}` : `${parts[0]}..${parts[1]}..-1`;
    return { message: `${quote(text)} counts down and needs a negative step`, hint: `write ${hint}` };
  }
  const count = (b - a) / s + 1n;
  if (count > BigInt(TEMPLATE_TASKS_MAX)) {
    return { message: `the range ${quote(text)} has ${count} values; the limit is ${TEMPLATE_TASKS_MAX}` };
  }
  const shrink = 10n ** BigInt(scale - decimals);
  const [fromScaled, stepScaled] = [Number(a / shrink), Number(s / shrink)];
  const last = fromScaled + stepScaled * (Number(count) - 1);
  if (![fromScaled, stepScaled, last].every(Number.isSafeInteger)) {
    return { message: `the numbers of ${quote(text)} have too many digits to be counted exactly` };
  }
  return { name, kind: "range", fromScaled, stepScaled, decimals, count: Number(count) };
}

/** Value `position` of a range, with exactly its decimals: 0..1..0.5 is 0.0, 0.5, 1.0. */
export function rangeValue(axis: InputAxis & { kind: "range" }, position: number): string {
  const units = axis.fromScaled + axis.stepScaled * position;
  if (axis.decimals === 0) return String(units);
  const digits = String(Math.abs(units)).padStart(axis.decimals + 1, "0");
  const cut = digits.length - axis.decimals;
  return `${units < 0 ? "-" : ""}${digits.slice(0, cut)}.${digits.slice(cut)}`;
}

function parseDecimal(text: string): Decimal | undefined {
  const match = DECIMAL.exec(text.trim());
  if (!match) return undefined;
  const [, sign, whole = "", fraction = "", exponentText = "0"] = match;
  const exponent = Number(exponentText);
  const digits = (whole + fraction).replace(/^0+(?=\d)/, "");
  if (digits.length > DIGITS_MAX || Math.abs(exponent) > DIGITS_MAX) return undefined;
  let units = BigInt(digits) * (sign === "-" ? -1n : 1n);
  let decimals = fraction.length - exponent;
  if (decimals < 0) {
    units *= 10n ** BigInt(-decimals);
    decimals = 0;
  }
  return { units, decimals };
}

function rescale(number: Decimal, decimals: number): bigint {
  return number.units * 10n ** BigInt(decimals - number.decimals);
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 60));
}
