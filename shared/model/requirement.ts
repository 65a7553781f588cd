/**
 * What a task needs and what an agent has: the same vector on both sides, so that fitting is one comparison.
 */
export interface Quantities {
  /** Whole or fractional processors. */
  cpus: number;
  memoryBytes: number;
  gpus: number;
  /** Memory of one gpu. */
  vramBytes: number;
  diskBytes: number;
  /** Other countable resources by name (licences, burst buffers). */
  custom: Record<string, number>;
}

export interface Requirement extends Quantities {
  /** Labels that the agent must carry with exactly this value. */
  labels: Record<string, string>;
  /** Longest run time; the runner ends the task after it. */
  wallSeconds: number;
}

/** An agent's side: what it may use in all, and what it is. */
export interface Capacity extends Quantities {
  labels: Record<string, string>;
}

/** One reason why a requirement does not fit; both sides are in it, so that explain can print it. */
export interface Misfit {
  what: string;
  needed: number | string;
  available: number | string;
}

/** Why `need` cannot run on an agent with `have` even when that is idle; empty when it can. */
export function misfits(need: Requirement, have: Capacity): Misfit[] {
  const reasons: Misfit[] = [];
  const compare = (what: string, needed: number, available: number): void => {
    if (needed > available) reasons.push({ what, needed, available });
  };
  compare("cpus", need.cpus, have.cpus);
  compare("memory_bytes", need.memoryBytes, have.memoryBytes);
  compare("gpus", need.gpus, have.gpus);
  compare("vram_bytes", need.vramBytes, have.vramBytes);
  compare("disk_bytes", need.diskBytes, have.diskBytes);
  for (const [name, amount] of Object.entries(need.custom)) compare(name, amount, have.custom[name] ?? 0);
  for (const [name, value] of Object.entries(need.labels)) {
    const available = have.labels[name];
    if (available !== value) reasons.push({ what: `label ${name}`, needed: value, available: available ?? "(none)" });
  }
  return reasons;
}

/** Whether `need` fits into what is free now (labels are not consumed and not looked at). Allocation-free: it is hot. */
export function fits(need: Requirement, free: Quantities): boolean {
  if (need.cpus > free.cpus || need.memoryBytes > free.memoryBytes || need.gpus > free.gpus) return false;
  if (need.diskBytes > free.diskBytes) return false;
  for (const name in need.custom) if ((need.custom[name] ?? 0) > (free.custom[name] ?? 0)) return false;
  return true;
}

/** Takes (`sign` −1) or gives back (`sign` +1) a requirement from what is free. */
export function charge(free: Quantities, need: Requirement, sign: 1 | -1): void {
  free.cpus += sign * need.cpus;
  free.memoryBytes += sign * need.memoryBytes;
  free.gpus += sign * need.gpus;
  free.diskBytes += sign * need.diskBytes;
  for (const name in need.custom) free.custom[name] = (free.custom[name] ?? 0) + sign * (need.custom[name] ?? 0);
}

/** A stable text for equal requirements, the heart of a class key. */
export function requirementKey(need: Requirement): string {
  const sorted = (record: Record<string, number | string>): [string, number | string][] =>
    Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([
    need.cpus,
    need.memoryBytes,
    need.gpus,
    need.vramBytes,
    need.diskBytes,
    sorted(need.custom),
    sorted(need.labels),
    need.wallSeconds,
  ]);
}
