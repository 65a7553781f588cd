/**
 * The wall clock of an agent and of a coordinator is set an hour ahead and back again while tasks run: the monotonic clock
 * decides, so nobody is given up, nothing runs twice, and nothing waits for an hour that is not.
 */
import assert from "node:assert/strict";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Blame } from "../../shared/model/attempt.ts";
import { FaultClock } from "../support/fault-clock.ts";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { type FaultProcess, until } from "../support/fault-process.ts";
import { FaultStack } from "../support/fault-stack.ts";
import { needs } from "../support/services.ts";

const LANES = 4;
/** Enough for two minutes; those that are left at the end are quick. */
const TASKS = 240 * LANES;
const STEP_SECONDS = 3_600;
const REQUIRES = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };
/** Fails three times: then the next try is 2 to 4 s away. */
const FAILURES = 3;
/** The longest backoff of the tries that were, eight seconds, and a start of the coordinator on a busy machine. */
const TRIED_AGAIN_MS_MAX = 60_000;

test("clocks that are set an hour ahead and back cost nothing", {
  skip: needs("faketime"),
  timeout: 240_000,
}, async (t) => {
  await FaultStack.with({ cpus: 2 * LANES }, async (stack) => {
    const { agent, coordinator } = stack;
    const clocks: [FaultProcess, FaultClock][] = [];
    for (const process of [coordinator, agent]) {
      clocks.push([process, new FaultClock(process, join(stack.directory, `${process.command.name}.clock`))]);
      await process.kill("SIGKILL");
      process.start();
    }
    await stack.agentIs("READY");
    const ledger = new Ledger(join(stack.directory, "ledger"));
    const environment = { LEDGER: ledger.path, MARK: join(stack.directory, "mark"), GO: join(stack.directory, "go") };
    const steady = await stack.submit({
      tasks: {
        work: {
          command: Ledger.command(`[ -e "$GO" ] || sleep 1`),
          task_inputs: { i: `1..${TASKS}` },
          requires: REQUIRES,
        },
      },
      resources: { environment },
    });
    for (const [process, clock] of clocks) {
      for (const offset of [STEP_SECONDS, 0]) {
        clock.set(offset);
        await until(`the clock of ${process.command.name} is set`, async () => {
          return Math.abs((await aheadSeconds(stack, process)) - offset) < STEP_SECONDS / 2;
        });
        const before = ledger.ends();
        await until("tasks begun since then end", () => ledger.ends() > before + 2 * LANES);
      }
    }

    const [, clock] = clocks[0] as [FaultProcess, FaultClock];
    clock.set(STEP_SECONDS);
    await until("the coordinator is ahead", async () => (await aheadSeconds(stack, coordinator)) > STEP_SECONDS / 2);
    const fails = `echo >> "$MARK"; [ "$(wc -l < "$MARK")" -gt ${FAILURES} ]`;
    const flaky = await stack.submit({
      // Before all that waits.
      priority: 100,
      tasks: { flaky: { command: fails, retries: { max: 5, on: ["exit"] }, requires: REQUIRES } },
      resources: { environment },
    });
    await until("its third failure is noted", async () => {
      return (
        (await stack.attempts(`${flaky}.flaky.0`).catch(() => [])).filter(({ ended_at }) => ended_at !== null)
          .length === FAILURES
      );
    });
    // What the journal says about the next try is an hour ahead of whoever reads it now.
    clock.set(0);
    await coordinator.kill("SIGKILL");
    coordinator.start();
    const startedMs = performance.now();
    assert.equal((await stack.ended(flaky, TRIED_AGAIN_MS_MAX)).state, "COMPLETED");
    t.diagnostic(`the backoff from an hour ahead was over after ${Math.round(performance.now() - startedMs)} ms`);

    writeFileSync(environment.GO, "");
    assert.equal((await stack.ended(steady, 120_000)).state, "COMPLETED");
    const { contradictions, inVain, ends } = await judge(stack, steady, TASKS, ledger);
    assert.deepEqual({ contradictions, inVain }, { contradictions: [], inVain: {} });
    t.diagnostic(JSON.stringify(ends));
    // Not even for the moment until it says hello again.
    const lost = await stack.rows("select 1 from attempt_end where $1 = any(blames)", [Blame.AGENT_LOST]);
    assert.equal(lost.length, 0);
    for (const { command, ended } of [agent, coordinator]) assert.equal(ended, undefined, command.name);
  });
});

/** By how much the process's clock is ahead: the coordinator's by its answers, the agent's by the file that it renews. */
async function aheadSeconds(stack: FaultStack, process: FaultProcess): Promise<number> {
  if (process === stack.agent) {
    // Every ten seconds.
    const { mtimeMs } = statSync(join(stack.outputDir, "state/owner.json"));
    return (mtimeMs - Date.now()) / 1_000;
  }
  const seen = (await stack.agentRecord())?.session?.seen_at;
  return seen === undefined ? Number.NaN : (Date.parse(seen) - Date.now()) / 1_000;
}
