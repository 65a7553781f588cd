/**
 * The short soak: a mixture of tasks while coordinators, agents, runners, supervisors and PostgreSQL are killed and the
 * links between them break. None is lost, none counts twice, none is killed by an agent's restart. The long one is
 * `npm run soak`.
 *   AIRAVATA_FAULT_SEED=17 bin/node --test test/fault/soak.test.ts
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { soak } from "./soak/soak.ts";

const SEED = Number(process.env.AIRAVATA_FAULT_SEED ?? Math.floor(Math.random() * 1_000_000));
/** For hangs only. */
const TIMEOUT_MS = 540_000;

test("every task counts once under continuous faults", { timeout: TIMEOUT_MS }, async (t) => {
  t.diagnostic(`seed ${SEED}`);
  const { verdict, ...report } = await soak({
    minutes: 1,
    tasks: 1_000,
    experimentTasks: 250,
    faultsPerMinute: 40,
    agents: 2,
    lanes: 6,
    seed: SEED,
    tell: (line) => t.diagnostic(line),
  });
  t.diagnostic(JSON.stringify({ ...report, ...verdict.figures }));
  const { lost, countedTwice, startedTwice, killedByRestart } = verdict.figures;
  assert.deepEqual({ lost, countedTwice, startedTwice, killedByRestart }, NONE);
});

const NONE = { lost: 0, countedTwice: 0, startedTwice: 0, killedByRestart: 0 };
