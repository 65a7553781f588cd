/** The name that somebody most likely meant: fewest edits, case and dashes hardly counting. Bounded work for long names. */
const NAME_CHARS_MAX = 64;
/** A file may declare thousands of names; the first are looked at. */
const CANDIDATES_MAX = 300;

/** The nearest of `known`, whatever its distance; undefined only when there are none. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  return search(name, known).name;
}

/** The nearest of `known` when it is near enough to be a slip: a third of the letters differ, or one begins the other. */
export function nearestSlip(name: string, known: Iterable<string>): string | undefined {
  const { name: candidate, edits } = search(name, known);
  if (candidate === undefined) return undefined;
  const [a, b] = [fold(name), fold(candidate)];
  if (a.startsWith(b) || b.startsWith(a)) return candidate;
  return edits <= Math.floor((Math.max(a.length, b.length) + 1) / 3) ? candidate : undefined;
}

function search(name: string, known: Iterable<string>): { name: string | undefined; edits: number } {
  const folded = fold(name);
  let best: string | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  let looked = 0;
  for (const candidate of known) {
    if (++looked > CANDIDATES_MAX) break;
    const edits = distance(folded, fold(candidate));
    if (edits >= fewest) continue;
    best = candidate;
    fewest = edits;
  }
  return { name: best, edits: fewest };
}

function fold(name: string): string {
  return name.slice(0, NAME_CHARS_MAX).toLowerCase().replaceAll(/[-_ ]/g, "").slice(0, NAME_CHARS_MAX);
}

/** Rows of the table below, kept: names are compared by the hundred thousand in a hostile file. */
let [twoBack, previous, current] = [0, 1, 2].map(() => new Uint8Array(NAME_CHARS_MAX + 1)) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
];

/** Optimal string alignment: insert, delete, replace, swap of neighbours. */
function distance(a: string, b: string): number {
  for (let j = 0; j <= b.length; j++) previous[j] = j;
  for (let i = 1; i <= a.length; i++) {
    current[0] = i;
    for (let j = 1; j <= b.length; j++) {
      const same = a.charCodeAt(i - 1) === b.charCodeAt(j - 1);
      const replaced = (previous[j - 1] as number) + (same ? 0 : 1);
      let cost = Math.min((previous[j] as number) + 1, (current[j - 1] as number) + 1, replaced);
      const swapped = i > 1 && j > 1 && a.charCodeAt(i - 1) === b.charCodeAt(j - 2);
      if (swapped && a.charCodeAt(i - 2) === b.charCodeAt(j - 1)) cost = Math.min(cost, (twoBack[j - 2] as number) + 1);
      current[j] = cost;
    }
    [twoBack, previous, current] = [previous, current, twoBack];
  }
  return previous[b.length] as number;
}
