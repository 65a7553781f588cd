/**
 * Holds what the tasks wrote against the journal and the API: is every accepted task there once, was none counted twice,
 * and did each execution that was cut short die of something that may end a task? A killed runner may; an agent that
 * starts again may not.
 */
import { readFileSync } from "node:fs";
import { BLAME_NAMES, Disposition, OUTCOME_NAMES, Outcome } from "../../../shared/model/attempt.ts";
import type { Fault } from "./chaos.ts";
import { type Disturbances, disturbancesOf, wasAway } from "./disturbance.ts";
import { type Execution, readExecutions } from "./notes.ts";
import type { World } from "./world.ts";

/** Of a list of contradictions so many are shown. */
const SHOWN_MAX = 20;

export interface Verdict {
  contradictions: string[];
  figures: {
    tasks: number;
    executions: number;
    lost: number;
    countedTwice: number;
    startedTwice: number;
    killedByRestart: number;
    /** Tasks that an agent found running, or ended, when it started again. */
    adopted: number;
    /** Executions that do not count, by how the journal ends their attempt. */
    inVain: Record<string, number>;
    /** Ends of attempts in the journal. */
    ends: Record<string, number>;
  };
}

interface JournalEnd {
  task: string;
  attempt: number;
  agent: number;
  disposition: number;
  outcome: number;
  blame: number;
  at_ms: number;
}

/** All ends of all attempts, in the journal's order. */
const ENDS = `select e.experiment || '.' || t.name || '.' || x.index as task,
    coalesce(e.attempts[x.n], e.attempts[1], 1) as attempt,
    coalesce(e.agents[x.n], e.agents[1])::float8 as agent,
    coalesce(e.dispositions[x.n], e.dispositions[1], 0)::int as disposition,
    coalesce(e.outcomes[x.n], e.outcomes[1], 0)::int as outcome,
    coalesce(e.blames[x.n], e.blames[1], 0)::int as blame,
    extract(epoch from j.at)::float8 * 1000 as at_ms
  from attempt_end e
  join journal j using (shard, seq)
  join template t using (shard, experiment, template), unnest(e.indexes) with ordinality as x(index, n)
  where e.experiment = $1 order by e.seq, e.position, x.n`;

/** Judges experiments whose tasks' names and numbers are `accepted`: experiment to tasks. */
export async function judgeSoak(
  world: World,
  ledger: string,
  accepted: Map<number, number>,
  faults: Fault[],
): Promise<Verdict> {
  const { executions, nonsense } = readExecutions(ledger);
  const contradictions = [...nonsense];
  const finals = new Map<string, JournalEnd[]>();
  const lastOf = new Map<string, JournalEnd>();
  const ends: Record<string, number> = {};
  let tasks = 0;
  let lost = 0;
  for (const [experiment, count] of accepted) {
    tasks += count;
    let completed = 0;
    for (const end of await world.stack.rows<JournalEnd>(ENDS, [experiment])) {
      lastOf.set(`${end.task} ${end.attempt}`, end);
      if (end.disposition !== Disposition.FINAL) continue;
      const before = finals.get(end.task);
      finals.set(end.task, [...(before ?? []), end]);
      if (before === undefined && end.outcome === Outcome.COMPLETED) completed++;
      if (end.outcome !== Outcome.COMPLETED) contradictions.push(`task ${end.task} ended ${nameOf(end)}`);
    }
    const states = await world.stack.taskStates(experiment);
    if (completed !== count) {
      lost += count - completed;
      contradictions.push(`of ${count} tasks of experiment ${experiment} the journal has ${completed} as COMPLETED`);
    }
    if (states.COMPLETED !== count)
      contradictions.push(`the API says of experiment ${experiment}: ${JSON.stringify(states)}`);
  }
  for (const end of lastOf.values()) count(ends, nameOf(end));
  const countedTwice = [...finals].filter(([, all]) => all.length > 1).map(([task]) => task);
  contradictions.push(...countedTwice.map((task) => `task ${task} counts ${finals.get(task)?.length} times`));

  const counted = new Map<string, Execution>();
  const startedBefore = new Map<string, Execution>();
  const inVain: Record<string, number> = {};
  const disturbed = disturbancesOf(world, faults);
  let startedTwice = 0;
  let killedByRestart = 0;
  for (const execution of executions) {
    const key = `${execution.task} ${execution.attempt}`;
    if (startedBefore.has(key)) {
      startedTwice++;
      contradictions.push(
        `attempt ${key} was started twice: by ${startedBefore.get(key)?.process} and ${execution.process}`,
      );
    }
    startedBefore.set(key, execution);
    const end = lastOf.get(key);
    if (end?.disposition === Disposition.FINAL) {
      counted.set(execution.task, execution);
      if (execution.endedAt === undefined) contradictions.push(`attempt ${key} counts, but never came to its end`);
      continue;
    }
    count(inVain, end === undefined ? "no end in the journal" : nameOf(end));
    const why = notExcused(execution, end, disturbed, world.sessionTtlMs);
    if (why === undefined) continue;
    killedByRestart++;
    contradictions.push(`attempt ${key} on agent ${end?.agent}: ${why}`);
  }
  for (const task of finals.keys()) {
    if (!counted.has(task)) contradictions.push(`task ${task} counts, but never began`);
  }
  contradictions.push(...wrongOrder(counted));
  const wrong = contradictions.length;
  if (wrong > SHOWN_MAX) contradictions.splice(SHOWN_MAX, wrong, `and ${wrong - SHOWN_MAX} more`);
  return {
    contradictions,
    figures: {
      tasks,
      executions: executions.length,
      lost,
      countedTwice: countedTwice.length,
      startedTwice,
      killedByRestart,
      adopted: world.agents.reduce((sum, { process }) => sum + adoptedBy(process.command.log), 0),
      inVain,
      ends,
    },
  };
}

/** Why this execution that does not count should have; undefined when it died, or was outrun, of what may do that. */
function notExcused(
  { failed }: Execution,
  end: JournalEnd | undefined,
  disturbed: Disturbances,
  ttlMs: number,
): string | undefined {
  if (end === undefined) return "it began, and the journal knows no end of it";
  switch (nameOf(end)) {
    case "FAILED exit":
      return failed ? undefined : "the journal says that it failed, it does not say so itself";
    case "FAILED runner_lost":
      return disturbed.runnerKilled(end.agent, end.at_ms) ? undefined : "its runner was lost, and nobody had killed it";
    case "LOST agent_lost":
      return wasAway(disturbed.ofAgent(end.agent), end.at_ms, ttlMs)
        ? undefined
        : "its agent was given up though nothing kept it away for so long";
    default:
      return `it began, and ended ${nameOf(end)}`;
  }
}

function adoptedBy(log: string): number {
  let sum = 0;
  for (const [, running, ended] of readFileSync(log, "utf8").matchAll(/"adopted":(\d+),"ended_meanwhile":(\d+)/g)) {
    sum += Number(running) + Number(ended);
  }
  return sum;
}

/** A task begins only after what it needs has ended well. */
function wrongOrder(counted: Map<string, Execution>): string[] {
  const wrong: string[] = [];
  const lastEnd = new Map<string, number>();
  for (const { task, endedAt = 0 } of counted.values()) {
    const [experiment = "", template] = task.split(".");
    if (template !== "after" && template !== "shell")
      lastEnd.set(experiment, Math.max(lastEnd.get(experiment) ?? 0, endedAt));
  }
  for (const { task, beganAt } of counted.values()) {
    const [experiment = "", template, index] = task.split(".");
    const needed =
      template === "after" ? lastEnd.get(experiment) : counted.get(`${experiment}.shell.${index}`)?.endedAt;
    if ((template === "after" || template === "later") && (needed === undefined || needed > beganAt)) {
      wrong.push(`task ${task} began before what it needs had ended`);
    }
  }
  return wrong;
}

function nameOf({ outcome, blame }: JournalEnd): string {
  return `${OUTCOME_NAMES[outcome]} ${BLAME_NAMES[blame]}`;
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
