/**
 * What a round of a benchmark returns, and the arithmetic of a table: medians and spread over interleaved rounds, ratios
 * of medians within one run. CPU and memory are the operating system's own account of every process that took part.
 */
import { readdirSync, readFileSync } from "node:fs";
import { median } from "./statistics.ts";
import { textTable } from "./table.ts";

export interface Round {
  /** Units of work done. */
  count: number;
  /** From the first request to the last confirmed end. */
  elapsedMs: number;
  /** User and system time of all processes that took part, in ms. */
  cpuMs: number;
  /** Largest resident set of the system under test, without PostgreSQL. */
  peakBytes: number;
}

export interface Contender {
  name: string;
  /** One round, verified: rejects when the rows or files afterwards are not what they must be. */
  round(): Promise<Round>;
  close(): Promise<void>;
}

export interface Figure {
  name: string;
  /** Units per second. */
  median: number;
  least: number;
  most: number;
  cpuMsPerThousand: number;
  peakMiB: number;
  /** Of each round, in order. */
  rates: number[];
}

/** Runs the contenders in turn, A B C A B C …, so that a machine that drifts drifts for all; the first pass warms up. */
export async function interleave(
  contenders: Contender[],
  rounds: number,
  say: (line: string) => void,
): Promise<Figure[]> {
  const results = contenders.map((): Round[] => []);
  try {
    for (let pass = 0; pass <= rounds; pass++) {
      for (const [i, contender] of contenders.entries()) {
        const round = await contender.round();
        const rate = Math.round(rateOf(round));
        say(`${pass === 0 ? "warm-up" : `round ${pass}`}  ${contender.name}: ${rate.toLocaleString("en")}/s`);
        if (pass > 0) results[i]?.push(round);
      }
    }
  } finally {
    for (const contender of contenders) await contender.close();
  }
  return contenders.map((contender, i) => figure(contender.name, results[i] as Round[]));
}

function figure(name: string, rounds: Round[]): Figure {
  const rates = rounds.map(rateOf);
  return {
    name,
    median: median(rates),
    least: Math.min(...rates),
    most: Math.max(...rates),
    cpuMsPerThousand: median(rounds.map((round) => (round.cpuMs / round.count) * 1000)),
    peakMiB: Math.max(...rounds.map((round) => round.peakBytes)) / 2 ** 20,
    rates,
  };
}

/** Units a second. */
function rateOf({ count, elapsedMs }: Round): number {
  return (count / elapsedMs) * 1000;
}

/** Ratio of medians of two contenders; not a number when one was not there. */
export function ratio(figures: Figure[], of: string, to: string): number {
  const find = (name: string): number => figures.find((entry) => entry.name === name)?.median ?? Number.NaN;
  return find(of) / find(to);
}

/** Linux counts process times in ticks of 10 ms. */
const TICK_MS = 10;

/** CPU ms so far of a process, its ended and its living children, all the way down. */
export function cpuMsOfTree(pid: number): number {
  let sum = 0;
  for (const id of treeOf(pid)) {
    try {
      const stat = readFileSync(`/proc/${id}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      // utime, stime, cutime, cstime are fields 14 to 17, counted from 1.
      for (const position of [11, 12, 13, 14]) sum += Number(fields[position]) * TICK_MS;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" && (error as NodeJS.ErrnoException).code !== "ESRCH")
        throw error;
    }
  }
  return sum;
}

function treeOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" && (error as NodeJS.ErrnoException).code !== "ESRCH")
        throw error;
    }
  }
  const tree = [root];
  for (let i = 0; i < tree.length; i++) tree.push(...(children.get(tree[i] as number) ?? []));
  return tree;
}

/** Largest resident set so far of one process, in bytes. */
export function peakBytesOf(pid: number): number {
  const match = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return match ? Number(match[1]) * 1024 : 0;
}

/** A table of figures, each against the one named `against`. */
export function table(title: string, unit: string, figures: Figure[], against: string): string {
  const base = figures.find((entry) => entry.name === against);
  const rows = figures.map((entry) => [
    entry.name,
    Math.round(entry.median).toLocaleString("en"),
    `${Math.round(entry.least).toLocaleString("en")}–${Math.round(entry.most).toLocaleString("en")}`,
    base ? (entry.median / base.median).toFixed(2) : "",
    entry.cpuMsPerThousand.toFixed(0),
    entry.peakMiB.toFixed(0),
  ]);
  return textTable(title, ["", `${unit}/s`, "spread", `× ${against}`, "cpu ms/1000", "peak MiB"], rows);
}
