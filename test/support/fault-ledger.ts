/**
 * What tasks say of themselves: each appends a line when it begins and one when it ends, with its index and attempt, to
 * one file; a line is far below PIPE_BUF and appended by one write, so lines never mix. The database is held against it.
 */
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { BLAME_NAMES, Disposition, OUTCOME_NAMES, Outcome } from "../../shared/model/attempt.ts";
import type { FaultStack } from "./fault-stack.ts";

/** Of a list of contradictions so many are shown. */
const SHOWN_MAX = 10;

export class Ledger {
  readonly path: string;
  #readBytes = 0;
  #ends = 0;

  constructor(path: string) {
    this.path = path;
    writeFileSync(path, "");
  }

  /** Shell text of a task that takes `work`; the file is named by LEDGER in its environment. */
  static command(work: string): string {
    const line = (word: string): string =>
      `printf '%s %s ${word}\\n' "$AIRAVATA_TASK_INDEX" "$AIRAVATA_ATTEMPT" >> "$LEDGER"`;
    return `${line("begin")}\n${work}\n${line("end")}`;
  }

  /** End lines so far; reads only what is new. */
  ends(): number {
    const file = openSync(this.path, "r");
    const buffer = Buffer.alloc(1 << 16);
    for (let got = 1; got > 0; ) {
      got = readSync(file, buffer, 0, buffer.length, this.#readBytes);
      this.#readBytes += got;
      // "end" and "begin" differ in their last letter.
      for (let i = 1; i < got; i++) if (buffer[i] === 10 && buffer[i - 1] === 100) this.#ends++;
    }
    closeSync(file);
    return this.#ends;
  }

  /** Index and attempt of each line of that word, as `index.attempt`, with how often it stands there. */
  lines(word: "begin" | "end"): Map<string, number> {
    const found = new Map<string, number>();
    for (const line of readFileSync(this.path, "utf8").split("\n")) {
      const [index, attempt, said] = line.split(" ");
      if (said !== word) continue;
      const key = `${index}.${attempt}`;
      found.set(key, (found.get(key) ?? 0) + 1);
    }
    return found;
  }
}

/** One end of an attempt as the journal holds it; an attempt may have more than one. */
interface JournalEnd {
  index: number;
  attempt: number;
  disposition: number;
  outcome: number;
  blame: number;
}

export interface Judgement {
  /** Sentences about what must not be. */
  contradictions: string[];
  /** Attempts by how they ended, as `FAILED runner_lost`. */
  ends: Record<string, number>;
  /** Attempts that began and do not count, by how the journal says they ended: work that was done in vain, or cut short. */
  inVain: Record<string, number>;
}

/** Holds the journal's ends of an experiment with one template of `tasks` tasks against its ledger. */
export async function judge(stack: FaultStack, experiment: number, tasks: number, ledger: Ledger): Promise<Judgement> {
  const rows = await stack.rows<JournalEnd>(
    `select x.index, coalesce(e.attempts[x.n], e.attempts[1], 1) as attempt,
       coalesce(e.dispositions[x.n], e.dispositions[1], 0)::int as disposition,
       coalesce(e.outcomes[x.n], e.outcomes[1], 0)::int as outcome,
       coalesce(e.blames[x.n], e.blames[1], 0)::int as blame
     from attempt_end e, unnest(e.indexes) with ordinality as x(index, n) where e.experiment = $1 order by e.seq, x.n`,
    [experiment],
  );
  const begun = ledger.lines("begin");
  const ended = ledger.lines("end");
  const finals = new Map<number, JournalEnd[]>();
  const lastOf = new Map<string, JournalEnd>();
  const contradictions: string[] = [];
  for (const row of rows) {
    lastOf.set(`${row.index}.${row.attempt}`, row);
    if (row.disposition !== Disposition.FINAL) continue;
    finals.set(row.index, [...(finals.get(row.index) ?? []), row]);
  }
  for (let index = 0; index < tasks; index++) {
    const [final, ...more] = finals.get(index) ?? [];
    if (final === undefined) {
      contradictions.push(`task ${index} has no FINAL end`);
      continue;
    }
    if (more.length > 0) contradictions.push(`task ${index} has ${more.length + 1} FINAL ends`);
    if (final.outcome !== Outcome.COMPLETED) contradictions.push(`task ${index} ended ${nameOf(final)}`);
    const key = `${index}.${final.attempt}`;
    const [begins = 0, ends = 0] = [begun.get(key), ended.get(key)];
    if (begins !== 1 || ends !== 1) {
      contradictions.push(`attempt ${key} counts, but it began ${begins} times and ended ${ends} times`);
    }
  }
  const inVain: Record<string, number> = {};
  for (const [key, times] of begun) {
    if (times > 1) contradictions.push(`attempt ${key} began ${times} times`);
    const end = lastOf.get(key);
    if (end?.disposition === Disposition.FINAL) continue;
    count(inVain, end === undefined ? "no end in the journal" : nameOf(end));
  }
  const ends: Record<string, number> = {};
  for (const end of lastOf.values()) count(ends, nameOf(end));
  if (contradictions.length > SHOWN_MAX) {
    contradictions.splice(SHOWN_MAX, contradictions.length, `and ${contradictions.length - SHOWN_MAX} more`);
  }
  return { contradictions, ends, inVain };
}

function nameOf({ outcome, blame }: JournalEnd): string {
  return `${OUTCOME_NAMES[outcome]} ${BLAME_NAMES[blame]}`;
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
