/**
 * Seeds on all processors: a range is shared out in small pieces among worker threads, each with the whole simulation to
 * itself. What comes back is what a single thread would have found, in the order of the seeds.
 */
import { availableParallelism } from "node:os";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import type { Bug } from "./bugs.ts";
import { simulate } from "./simulate.ts";

/** Small enough that no thread is left with much at the end. */
const PIECE_SEEDS = 20;

interface Piece {
  seeds: number[];
  bug: Bug | undefined;
  /** Ends after the first failure. */
  untilFailure: boolean;
}

export interface Failure {
  seed: number;
  /** Name of the broken promise, and the sentence. */
  invariant: string;
  message: string;
  endedAtMs: number;
}

export interface Tally {
  seeds: number;
  failures: Failure[];
  /** What happened in all of them, by name. */
  figures: Record<string, number>;
}

/** All numbers of a range, both ends included. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
}

/** Runs all seeds; `heard` is told of every failure when it is found. */
export async function simulateAll(
  seeds: readonly number[],
  options: { bug?: Bug | undefined; threads?: number; untilFailure?: boolean; heard?: (failure: Failure) => void } = {},
): Promise<Tally> {
  const { bug, threads = availableParallelism(), untilFailure = false, heard = () => {} } = options;
  const tally: Tally = { seeds: 0, failures: [], figures: {} };
  let next = 0;
  let over = false;
  const serve = async (): Promise<void> => {
    const worker = new Worker(new URL(import.meta.url));
    try {
      while (!over && next < seeds.length) {
        const piece: Piece = { seeds: seeds.slice(next, next + PIECE_SEEDS), bug, untilFailure };
        next += PIECE_SEEDS;
        const part = await ask(worker, piece);
        tally.seeds += part.seeds;
        for (const failure of part.failures) heard(failure);
        tally.failures.push(...part.failures);
        if (untilFailure && part.failures.length > 0) over = true;
        for (const [name, count] of Object.entries(part.figures))
          tally.figures[name] = (tally.figures[name] ?? 0) + count;
      }
    } finally {
      await worker.terminate();
    }
  };
  const pieces = Math.ceil(seeds.length / PIECE_SEEDS);
  await Promise.all(Array.from({ length: Math.min(threads, pieces) }, serve));
  tally.failures.sort((a, b) => a.seed - b.seed);
  return tally;
}

function ask(worker: Worker, piece: Piece): Promise<Tally> {
  return new Promise((resolve, reject) => {
    worker.once("error", reject);
    worker.once("message", (part: Tally) => {
      worker.removeListener("error", reject);
      resolve(part);
    });
    worker.postMessage(piece);
  });
}

async function runPiece({ seeds, bug, untilFailure }: Piece): Promise<Tally> {
  const part: Tally = { seeds: 0, failures: [], figures: {} };
  for (const seed of seeds) {
    const { violation, events, figures, endedAtMs } = await simulate(seed, bug === undefined ? {} : { bug });
    part.seeds++;
    for (const [name, count] of Object.entries({ ...figures, events })) {
      part.figures[name] = (part.figures[name] ?? 0) + count;
    }
    if (violation === null) continue;
    part.failures.push({ seed, invariant: violation.invariant, message: violation.message, endedAtMs });
    if (untilFailure) break;
  }
  return part;
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  port.on("message", (piece: Piece) => void runPiece(piece).then((part) => port.postMessage(part)));
}
