/** Goals of the benchmarks: a figure beside its bound, met or missed, never asserted. Pure. */

export interface Goal {
  what: string;
  figure: number;
  sign: "≤" | "≥";
  bound: number;
  unit: string;
  met: boolean;
}

/** A figure that is not a number has missed. */
export function atLeast(what: string, figure: number, bound: number, unit: string): Goal {
  return { what, figure, sign: "≥", bound, unit, met: figure >= bound };
}

export function atMost(what: string, figure: number, bound: number, unit: string): Goal {
  return { what, figure, sign: "≤", bound, unit, met: figure <= bound };
}

/** `met     single tasks: 3.21 × graphile-worker (goal ≥ 3.00)`. */
export function goalLine({ what, figure, sign, bound, unit, met }: Goal): string {
  return `${met ? "met   " : "MISSED"}  ${what}: ${amount(figure)} ${unit} (goal ${sign} ${amount(bound)})`;
}

/** A number as people read it: two digits after the point below a hundred, none above; `none` for what was not measured. */
export function amount(value: number): string {
  if (!Number.isFinite(value)) return "none";
  const digits = Math.abs(value) >= 100 ? 0 : 2;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
