/**
 * A sweep of short tasks while every part of the system is killed in turn: agent, coordinator, PostgreSQL, runners and
 * the supervisor. Each task counts exactly once, whatever was killed, and `airavata run` sees it through.
 *   AIRAVATA_FAULT_SEED=17 AIRAVATA_FAULT_TASKS=2000 bin/node --test test/fault/sweep.test.ts
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Random } from "../simulation/engine/random.ts";
import { AIRAVATA } from "../support/cli.ts";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { FaultProcess, runnerProcesses, until } from "../support/fault-process.ts";
import { FaultStack, kill } from "../support/fault-stack.ts";

const TASKS = Number(process.env.AIRAVATA_FAULT_TASKS ?? 20_000);
const SEED = Number(process.env.AIRAVATA_FAULT_SEED ?? Math.floor(Math.random() * 1_000_000));
/** So many at once, at 20 to 50 ms each, keep two cores busy: a task costs 2 to 3 ms of processor. */
const LANES = 16;
/** 20 to 50 ms; one in two hundred outlasts the death of an agent, so that a few are always there to be adopted. */
const WORK = `sleep 0.0$((20 + AIRAVATA_TASK_INDEX % 31))
[ $((AIRAVATA_TASK_INDEX % 200)) -ne 0 ] || sleep 2`;
/** What a dead process is left dead, in ms: less than what makes the coordinator give an agent up. */
const DEAD_MS_MAX = 400;
/** An agent is given up 3 s after its last renewal, which is up to 0.75 s old when it is killed. */
const GIVEN_UP_MS = 2_000;
/** For hangs only. */
const TIMEOUT_MS = 540_000;

type Fault = "agent" | "coordinator" | "postgres" | "runner" | "supervisor";
const FAULTS: Record<Fault, number> = { agent: 5, coordinator: 3, postgres: 2, runner: 3, supervisor: 1 };

test("every task of a sweep counts once while everything is killed", { timeout: TIMEOUT_MS }, async (t) => {
  const story: string[] = [`seed ${SEED}, ${TASKS} tasks`];
  await FaultStack.with({ cpus: LANES, sessionTtl: "3s" }, async (stack) => {
    const ledger = new Ledger(join(stack.directory, "ledger"));
    const run = startRun(stack, ledger);
    try {
      await sweep(stack, ledger, run, (line) => {
        story.push(line);
        t.diagnostic(line);
      });
    } catch (error) {
      console.log(story.join("\n"));
      throw error;
    } finally {
      await run.kill("SIGKILL");
    }
  });
});

async function sweep(
  stack: FaultStack,
  ledger: Ledger,
  run: FaultProcess,
  tell: (line: string) => void,
): Promise<void> {
  const startedMs = performance.now();
  const killer = new Killer(stack, ledger, new Random(SEED), (line) => {
    tell(`${((performance.now() - startedMs) / 1_000).toFixed(1)} s, ${ledger.ends()} ended: ${line}`);
  });
  await killer.live(run);
  const tookMs = Math.round(performance.now() - startedMs);
  assert.equal(run.ended, 0, run.said);

  const [experiment] = (await stack.client.call("listExperiments", { query: {} })).items;
  assert.ok(experiment);
  assert.equal(experiment.state, "COMPLETED");
  assert.deepEqual(experiment.tasks, { ...NO_TASKS, total: TASKS, completed: TASKS });
  assert.deepEqual(await stack.taskStates(experiment.id), { COMPLETED: TASKS });
  const { contradictions, ends, inVain } = await judge(stack, experiment.id, TASKS, ledger);
  const awayMs = Math.round(killer.awayMs);
  tell(`seed ${SEED}: ${JSON.stringify({ tookMs, awayMs, ends, inVain })}`);
  assert.deepEqual(contradictions, []);
  // What a dead runner ran is ended with it; nothing else ends a task or lets it run again, least of all a dead agent.
  const { "FAILED runner_lost": byRunner = 0, "LOST agent_lost": superseded = 0, ...byOthers } = inVain;
  assert.deepEqual(byOthers, {});
  assert.ok(byRunner <= FAULTS.runner, `${byRunner} tasks died with ${FAULTS.runner} runners`);
  if (awayMs < GIVEN_UP_MS) assert.equal(superseded, 0, `attempts were given up after at most ${awayMs} ms`);
}

const NO_TASKS = { total: 0, waiting: 0, queued: 0, leased: 0, completed: 0, failed: 0, canceled: 0 };

function startRun(stack: FaultStack, ledger: Ledger): FaultProcess {
  const file = join(stack.directory, "sweep.yaml");
  const spec = {
    name: "sweep",
    scripts: { work: Ledger.command(WORK) },
    tasks: {
      work: {
        script: "work",
        task_inputs: { i: `1..${TASKS}` },
        requires: { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" },
      },
    },
    resources: { environment: { LEDGER: ledger.path } },
  };
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(spec));
  const run = new FaultProcess({
    name: "airavata run",
    program: AIRAVATA,
    words: ["run", file],
    env: stack.clientEnvironment,
    log: join(stack.directory, "run.log"),
  });
  run.start();
  return run;
}

/** Kills one after the other, spread over the sweep by how many tasks have ended. */
class Killer {
  /** The longest time from an agent's death, or a coordinator's, until the agent had a session again. */
  awayMs = 0;
  readonly #stack: FaultStack;
  readonly #ledger: Ledger;
  readonly #random: Random;
  readonly #tell: (line: string) => void;
  readonly #watching: Promise<void>[] = [];

  constructor(stack: FaultStack, ledger: Ledger, random: Random, tell: (line: string) => void) {
    this.#stack = stack;
    this.#ledger = ledger;
    this.#random = random;
    this.#tell = tell;
  }

  async live(run: FaultProcess): Promise<void> {
    const faults = this.#shuffled();
    for (const [i, fault] of faults.entries()) {
      const at = ((i + this.#random.next()) / faults.length) * TASKS * 0.95;
      await until(
        `${Math.round(at)} tasks have ended`,
        () => {
          this.#noneDiedAlone(run);
          return this.#ledger.ends() >= at;
        },
        TIMEOUT_MS,
      );
      this.#tell(`kill -9 ${fault}`);
      await this.#strike(fault);
    }
    await until("the sweep ends", () => run.ended !== undefined || void this.#noneDiedAlone(run), TIMEOUT_MS);
    await Promise.all(this.#watching);
  }

  #shuffled(): Fault[] {
    const names = Object.keys(FAULTS) as Fault[];
    const faults = names.flatMap((name) => Array<Fault>(FAULTS[name]).fill(name));
    for (let i = faults.length - 1; i > 0; i--) {
      const other = this.#random.below(i + 1);
      [faults[i], faults[other]] = [faults[other] as Fault, faults[i] as Fault];
    }
    return faults;
  }

  async #strike(fault: Fault): Promise<void> {
    const { agent, coordinator, cluster, outputDir } = this.#stack;
    const deadMs = this.#random.between(0, DEAD_MS_MAX);
    const chance = this.#random.next();
    const epoch = (await this.#stack.agentRecord())?.session?.epoch ?? 0;
    const diedMs = performance.now();
    switch (fault) {
      case "agent":
      case "coordinator": {
        const victim = fault === "agent" ? agent : coordinator;
        await victim.kill("SIGKILL");
        await delay(deadMs);
        victim.start();
        break;
      }
      case "postgres":
        await cluster.crash();
        break;
      case "runner": {
        const runners = await until("a runner lives", () => {
          const found = runnerProcesses(outputDir, "run");
          return found.length > 0 && found;
        });
        kill(runners[Math.floor(chance * runners.length)] as number);
        break;
      }
      case "supervisor":
        runnerProcesses(outputDir, "supervise").forEach(kill);
        break;
    }
    if (fault === "agent") this.#watching.push(this.#untilBack(epoch, diedMs));
  }

  /** The next fault does not wait for it. */
  async #untilBack(epoch: number, diedMs: number): Promise<void> {
    await until("the agent has a session again", async () => {
      return ((await this.#stack.agentRecord())?.session?.epoch ?? 0) > epoch;
    });
    this.awayMs = Math.max(this.awayMs, performance.now() - diedMs);
  }

  /** What we did not kill must live: a part that ends for another one's death would be started by nobody. */
  #noneDiedAlone(run: FaultProcess): void {
    for (const { command, ended } of [this.#stack.agent, this.#stack.coordinator]) {
      assert.equal(ended, undefined, `${command.name} ended by itself with ${ended}`);
    }
    if (run.ended !== undefined) assert.equal(run.ended, 0, run.said);
  }
}
