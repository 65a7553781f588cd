/** The name that somebody most likely meant: fewest edits, case and dashes hardly counting. Bounded work for long names. */
const NAME_CHARS_MAX = 64;
/** A file may declare thousands of names; the first are looked at. */
const CANDIDATES_MAX = 300;

/** The nearest of `known`, whatever its distance; undefined only when there are none. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  let looked = 0;
  for (const candidate of known) {
    if (++looked > CANDIDATES_MAX) break;
    const measured = distance(fold(name), fold(candidate)) + (fold(name) === fold(candidate) ? 0 : 0.1);
    if (measured < bestDistance) {
      bestDistance = measured;
      best = candidate;
    }
  }
  return best;
}

/** The nearest of `known` when it is near enough to be a slip: at most a third of the letters differ, or one is the other's beginning. */
export function nearestSlip(name: string, known: Iterable<string>): string | undefined {
  const candidate = nearest(name, known);
  if (candidate === undefined) return undefined;
  const [a, b] = [fold(name), fold(candidate)];
  if (a.startsWith(b) || b.startsWith(a)) return candidate;
  return distance(a, b) <= Math.floor((Math.max(a.length, b.length) + 1) / 3) ? candidate : undefined;
}

function fold(name: string): string {
  return name.slice(0, NAME_CHARS_MAX).toLowerCase().replaceAll(/[-_ ]/g, "");
}

/** Optimal string alignment: insert, delete, replace, swap of neighbours. */
function distance(a: string, b: string): number {
  let twoBack: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, (twoBack[j - 2] ?? 0) + 1);
      current.push(cost);
    }
    twoBack = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
