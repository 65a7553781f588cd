/**
 * The soak: experiments are submitted while everything is killed, stopped and cut; then all is mended, the rest must get
 * done without help, and what the tasks wrote is held against the journal and the API.
 */
import { closeSync, openSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ApiError } from "../../../shared/api/client.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { Random } from "../../simulation/engine/random.ts";
import { Chaos } from "./chaos.ts";
import { judgeSoak, type Verdict } from "./verdict.ts";
import { Work } from "./work.ts";
import { type World, withWorld } from "./world.ts";

export interface SoakOptions {
  /** At least so many tasks, and at least so long. */
  tasks: number;
  minutes: number;
  /** Tasks of one experiment, at least 100. */
  experimentTasks: number;
  faultsPerMinute: number;
  agents: number;
  /** Tasks at once, per agent. */
  lanes: number;
  seed: number;
  /** Ends the faults early; what was accepted is done and judged all the same. */
  signal?: AbortSignal;
  tell: (line: string) => void;
}

export interface SoakReport {
  verdict: Verdict;
  faults: Record<string, number>;
  /** Under faults. */
  chaosSeconds: number;
  /** From the last mend to the last end. */
  healSeconds: number;
  /** The longest time in which no task ended. */
  stallSecondsMax: number;
}

/**
 * Tasks that are submitted and have not ended, per lane: enough for a second, so that nothing waits for work; not for many,
 * so that what a lost agent held is soon another one's.
 */
const BACKLOG_LANES = 10;
/** For hangs. */
const HEAL_MS_MAX = 300_000;
const LOOK_MS = 200;
/** A pause longer than this stands in the story. */
const STALL_TOLD_MS = 5_000;

export async function soak(options: SoakOptions): Promise<SoakReport> {
  let report: SoakReport | undefined;
  await withWorld(options, async (world) => {
    report = await run(world, options);
    const { contradictions } = report.verdict;
    if (contradictions.length > 0) throw new Error(contradictions.join("\n"));
  });
  return report as unknown as SoakReport;
}

async function run(world: World, options: SoakOptions): Promise<SoakReport> {
  const startedMs = performance.now();
  const story: string[] = [];
  const tell = (line: string): void => {
    const timed = `${((performance.now() - startedMs) / 1_000).toFixed(1)} s: ${line}`;
    story.push(timed);
    options.tell(timed);
  };
  const work = new Work(world.stack.directory);
  const chaos = new Chaos(world, new Random(options.seed), tell);
  const progress = new Progress(work.ledger, tell);
  const submitting = new AbortController();
  const accepted = new Map<number, number>();
  const looking = setInterval(() => progress.look(), LOOK_MS);
  const enough = (): boolean =>
    options.signal?.aborted ||
    (progress.look() >= options.tasks && performance.now() - startedMs >= options.minutes * 60_000);
  try {
    const submit = submitWithoutEnd(world, work, options, progress, accepted, submitting.signal);
    await Promise.race([chaos.run(options.faultsPerMinute, enough), submit]);
    submitting.abort();
    await submit;
    const mendedMs = performance.now();
    tell(`all is mended; ${accepted.size} experiments were accepted`);
    for (const experiment of accepted.keys()) {
      await world.stack.ended(experiment, Math.max(1, mendedMs + HEAL_MS_MAX - performance.now()));
    }
    const healSeconds = (performance.now() - mendedMs) / 1_000;
    await nothingElse(world, accepted);
    const verdict = await judgeSoak(world, work.ledger, accepted, chaos.faults);
    const chaosSeconds = (mendedMs - startedMs) / 1_000;
    progress.look();
    return { verdict, faults: chaos.counts(), chaosSeconds, healSeconds, stallSecondsMax: progress.stallMs / 1_000 };
  } finally {
    clearInterval(looking);
    writeFileSync(join(world.stack.directory, "story"), `seed ${options.seed}\n${story.join("\n")}\n`);
  }
}

/** Each submit has a key and is sent until it is accepted: then it counts, whatever answers were lost. */
async function submitWithoutEnd(
  world: World,
  work: Work,
  { agents, lanes, experimentTasks }: SoakOptions,
  progress: Progress,
  accepted: Map<number, number>,
  signal: AbortSignal,
): Promise<void> {
  const backlog = Math.max(2 * experimentTasks, BACKLOG_LANES * agents * lanes);
  for (let number = 0; !signal.aborted; number++) {
    while (!signal.aborted && accepted.size * experimentTasks - progress.look() > backlog) await delay(LOOK_MS);
    const body = { spec: work.spec(number, experimentTasks) };
    for (let sent = false; !sent; ) {
      try {
        // Not given up at the end: whoever was accepted must be known.
        const { id } = await world.client.call("submitExperiment", { body, idempotencyKey: `soak-${number}` });
        accepted.set(id, experimentTasks);
        sent = true;
      } catch (error) {
        const mayHaveHappened = error instanceof ApiError ? error.status >= 500 : error instanceof AiravataError;
        if (!mayHaveHappened) throw error;
        await delay(LOOK_MS);
      }
    }
  }
}

/** A submit that was sent again must not be there twice. */
async function nothingElse(world: World, accepted: Map<number, number>): Promise<void> {
  const found = await world.stack.rows<{ id: number }>("select experiment::float8 as id from experiment");
  const strange = found.map(({ id }) => id).filter((id) => !accepted.has(id));
  if (strange.length > 0 || found.length !== accepted.size) {
    throw new Error(`${accepted.size} experiments were accepted, ${found.length} are there; not accepted: ${strange}`);
  }
}

/** How often a task came to its end, and the longest pause in which none did. */
class Progress {
  stallMs = 0;
  readonly #ledger: string;
  readonly #tell: (line: string) => void;
  #readBytes = 0;
  #ends = 0;
  #lastEndMs = performance.now();

  constructor(ledger: string, tell: (line: string) => void) {
    this.#ledger = ledger;
    this.#tell = tell;
  }

  look(): number {
    const now = performance.now();
    const before = this.#ends;
    this.#readMore();
    const pauseMs = now - this.#lastEndMs;
    this.stallMs = Math.max(this.stallMs, pauseMs);
    if (this.#ends > before) {
      if (pauseMs > STALL_TOLD_MS) this.#tell(`nothing had ended for ${Math.round(pauseMs)} ms`);
      this.#lastEndMs = now;
    }
    return this.#ends;
  }

  #readMore(): void {
    const file = openSync(this.#ledger, "r");
    const buffer = Buffer.alloc(1 << 16);
    for (let got = 1; got > 0; ) {
      got = readSync(file, buffer, 0, buffer.length, this.#readBytes);
      this.#readBytes += got;
      // Of all that stands in the notes only the word "end" has this letter.
      for (let i = 0; i < got; i++) if (buffer[i] === LETTER_D) this.#ends++;
    }
    closeSync(file);
  }
}

const LETTER_D = 0x64;
