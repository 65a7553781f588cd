/** Percentiles and medians of samples. Pure. */

/** The sample below which the share `part` of all lies (nearest rank); 0 ≤ part ≤ 1. Throws without samples. */
export function percentile(samples: readonly number[], part: number): number {
  if (samples.length === 0) throw new Error("no samples, no percentile");
  const sorted = [...samples].sort((a, b) => a - b);
  const rank = Math.ceil(part * sorted.length);
  return sorted[Math.min(sorted.length, Math.max(1, rank)) - 1] as number;
}

/** The middle one; of an even number the mean of the two in the middle. Throws without samples. */
export function median(samples: readonly number[]): number {
  if (samples.length === 0) throw new Error("no samples, no median");
  const sorted = [...samples].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] as number) + upper) / 2;
}

/** How the last third of a series stands to its first third: 1 when nothing drifts. Medians, so that one hiccup is none. */
export function drift(series: readonly number[]): number {
  const third = Math.max(1, Math.floor(series.length / 3));
  return median(series.slice(-third)) / median(series.slice(0, third));
}
