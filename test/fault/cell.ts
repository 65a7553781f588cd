/**
 * A cell: a steady load of short processes, a fault or a pressure in the middle, and what became of the rate. Rates are
 * read from the journal's own times afterwards, so that nothing that watches takes part. Nothing is asserted about speed;
 * every task must be COMPLETED with exactly one final attempt.
 */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../support/fault-process.ts";
import type { FaultStack } from "../support/fault-stack.ts";

export interface Cell {
  name: string;
  /** Begins the fault; it is held for the cell's time, then what this returns ends it. */
  strike(stack: FaultStack, load: Load): Promise<() => Promise<void>>;
}

export interface Figures {
  cell: string;
  /** Ends per second before, during and after, and after ÷ before. */
  before: number;
  during: number;
  after: number;
  recoveryRatio: number;
  /** The longest time without an end, from the fault's begin on, ms. */
  longestGapMs: number;
  tasks: number;
}

/** Longer ones give steadier figures: AIRAVATA_CELL_SECONDS=20. */
const PHASE_MS = Number(process.env.AIRAVATA_CELL_SECONDS ?? 1.5) * 1_000;
/** Tasks of one experiment, and how many experiments are unfinished at any time. */
const EXPERIMENT_TASKS = 1_000;
const EXPERIMENTS_AHEAD = 4;
/** For hangs only. */
const DRAIN_MS = 120_000;

/** Keeps so many experiments unfinished; a coordinator that is away is asked again with the same key. */
class Load {
  readonly #stack: FaultStack;
  readonly #ids: number[] = [];
  readonly #stopping = new AbortController();
  readonly #feeding: Promise<void>;
  readonly #keys: string;
  #tasks = 0;
  #sent = 0;

  constructor(stack: FaultStack, name: string) {
    this.#stack = stack;
    this.#keys = `${name.replaceAll(" ", "-")}-${process.pid}`;
    this.#feeding = this.#feed();
    // Whoever drains hears of it.
    this.#feeding.catch(() => {});
  }

  /** One more experiment, submitted as often as it takes. */
  async add(tasks: number): Promise<number> {
    const key = `${this.#keys}-${++this.#sent}`;
    const body = { spec: specOf(tasks) };
    const id = await until("an experiment is accepted", async () => {
      const options = { body, idempotencyKey: key };
      return this.#stack.client.call("submitExperiment", options).then(
        (accepted) => accepted.id,
        (error: { status?: number }) => {
          if (error.status !== undefined && error.status < 500) throw error;
          return undefined;
        },
      );
    });
    this.#ids.push(id);
    this.#tasks += tasks;
    return id;
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** Adds nothing more and waits until everything has ended. */
  async drain(): Promise<{ ids: number[]; tasks: number }> {
    this.stop();
    await this.#feeding;
    for (const id of this.#ids) {
      const { state } = await this.#stack.ended(id, DRAIN_MS);
      assert.equal(state, "COMPLETED", `experiment ${id}`);
    }
    return { ids: this.#ids, tasks: this.#tasks };
  }

  async #feed(): Promise<void> {
    for (let first = 0; !this.#stopping.signal.aborted; ) {
      if (this.#ids.length - first < EXPERIMENTS_AHEAD) {
        await this.add(EXPERIMENT_TASKS);
        continue;
      }
      const id = this.#ids[first] as number;
      const ended = await this.#stack.experiment(id).then(
        ({ ended_at }) => ended_at !== null,
        () => false,
      );
      if (ended) first++;
      else await delay(50);
    }
  }
}

function specOf(tasks: number): Record<string, unknown> {
  return {
    name: "cell",
    tasks: {
      work: {
        argv: ["/bin/true"],
        task_inputs: { i: `1..${tasks}` },
        requires: { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" },
      },
    },
  };
}

export async function runCell(stack: FaultStack, cell: Cell): Promise<Figures> {
  const load = new Load(stack, cell.name);
  try {
    return await measure(stack, cell, load);
  } finally {
    load.stop();
  }
}

async function measure(stack: FaultStack, cell: Cell, load: Load): Promise<Figures> {
  await until("the first task has ended", async () => (await endsSince(stack, 0)) > 0);
  await delay(PHASE_MS / 4);
  const begun = Date.now();
  await delay(PHASE_MS);
  const struck = Date.now();
  const heal = await cell.strike(stack, load);
  await delay(Math.max(0, struck + PHASE_MS - Date.now()));
  await heal();
  const healed = Date.now();
  // Recovery is told from the first end on: what the fault cost until then is in the longest gap.
  const back = await until("tasks end again", async () => (await firstEndAfter(stack, healed)) ?? undefined, DRAIN_MS);
  await delay(PHASE_MS);
  const over = Date.now();
  const { ids, tasks } = await load.drain();
  await judge(stack, ids, tasks);
  const ends = await endTimes(stack, ids);
  const rate = (fromMs: number, toMs: number): number =>
    Math.round((count(ends, fromMs, toMs) / Math.max(1, toMs - fromMs)) * 1_000);
  const before = rate(begun, struck);
  const after = rate(back, over);
  return {
    cell: cell.name,
    before,
    during: rate(struck, healed),
    after,
    recoveryRatio: Math.round((after / before) * 100) / 100,
    longestGapMs: longestGap(ends, struck, over),
    tasks,
  };
}

/** Every task has exactly one final result, counted from the journal's rows. */
async function judge(stack: FaultStack, ids: number[], tasks: number): Promise<void> {
  const text = `select count(*)::int as finals, count(distinct (experiment, template, index))::int as tasks
    from attempt_ended where experiment = any($1) and disposition = 'FINAL' and outcome = 'COMPLETED'`;
  const [row] = await stack.rows<{ finals: number; tasks: number }>(text, [ids]);
  assert.deepEqual(row, { finals: tasks, tasks });
}

const ENDS = `select (extract(epoch from j.at) * 1000)::float8 as at, cardinality(e.indexes) as tasks
  from attempt_end e join journal j on j.shard = e.shard and j.seq = e.seq`;

async function endTimes(stack: FaultStack, ids: number[]): Promise<{ at: number; tasks: number }[]> {
  return stack.rows(`${ENDS} where e.experiment = any($1) order by j.at`, [ids]);
}

async function endsSince(stack: FaultStack, ms: number): Promise<number> {
  const rows = await stack.rows<{ tasks: number }>(`${ENDS} where j.at > to_timestamp($1::float8 / 1000) limit 1`, [
    ms,
  ]);
  return rows[0]?.tasks ?? 0;
}

async function firstEndAfter(stack: FaultStack, ms: number): Promise<number | undefined> {
  const text = `${ENDS} where j.at > to_timestamp($1::float8 / 1000) order by j.seq limit 1`;
  const rows = await stack.rows<{ at: number }>(text, [ms]).catch(() => []);
  return rows[0]?.at;
}

function count(ends: { at: number; tasks: number }[], fromMs: number, toMs: number): number {
  return ends.reduce((sum, { at, tasks }) => (at >= fromMs && at < toMs ? sum + tasks : sum), 0);
}

function longestGap(ends: { at: number }[], fromMs: number, toMs: number): number {
  const times = [fromMs, ...ends.map(({ at }) => at).filter((at) => at > fromMs && at < toMs), toMs];
  return Math.round(times.reduce((longest, at, i) => Math.max(longest, at - (times[i - 1] ?? at)), 0));
}
