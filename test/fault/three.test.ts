/**
 * Three coordinators under a sweep: the one that leads is stopped for a minute, meanwhile the next one is killed, then the
 * others hand over to each other again and again. Any of them gives out the logs and outputs of tasks; nothing runs twice.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "../../shared/api/client.ts";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { until } from "../support/fault-process.ts";
import { type Coordinating, leads, Replicas } from "../support/fault-replicas.ts";
import { endRunners } from "../support/fault-stack.ts";

const LANES = 8;
const TASKS = 160 * LANES;
/** Ten leadership leases. */
const STOPPED_MS = 60_000;
const HANDOVERS = 4;
/** Of the fastest: the others may meet a machine with other things to do. */
const HANDOVER_MS_MAX = 1_000;
const TIMEOUT_MS = 300_000;
const REQUIRES = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };

test("three coordinators: one stopped for a minute, one killed, and handovers", { timeout: TIMEOUT_MS }, async (t) => {
  await Replicas.with({ coordinators: 3, cpus: LANES }, async (replicas) => {
    // It would get at once what the other one is taken for lost with.
    const otherDir = join(replicas.stack.directory, "other");
    const other = await replicas.stack.startAgent("other", otherDir, replicas.balancer.url);
    try {
      await story(t, replicas);
    } finally {
      await other.kill("SIGKILL");
      await endRunners(otherDir);
    }
  });
});

async function story(t: TestContext, replicas: Replicas): Promise<void> {
  const { stack, balancer } = replicas;
  const ledger = new Ledger(join(stack.directory, "ledger"));
  const go = join(stack.directory, "go");
  // There is progress at every time, and a rest to be done at the end.
  const work = `echo "log of $AIRAVATA_TASK_INDEX"; echo out > out.txt; sleep 0.2; [ -e "$GO" ] || sleep 1`;
  const id = await stack.submit({
    tasks: {
      work: {
        command: Ledger.command(work),
        task_inputs: { i: `1..${TASKS}` },
        task_outputs: { OUT: "out.txt" },
        requires: REQUIRES,
      },
    },
    resources: { environment: { LEDGER: ledger.path, GO: go } },
  });
  await until("tasks end", () => ledger.ends() > 0);

  const stopped = await leader(replicas.coordinators);
  const others = replicas.coordinators.filter((one) => one !== stopped);
  const stoppedMs = performance.now();
  stopped.process.signal("SIGSTOP");
  balancer.leaveOut(stopped.url);
  const second = await leader(others);
  t.diagnostic(`SIGSTOP: another one led after ${Math.round(performance.now() - stoppedMs)} ms`);
  await goesOn(replicas, ledger);

  const killedMs = performance.now();
  await second.process.kill("SIGKILL");
  const third = await leader(others.filter((one) => one !== second));
  t.diagnostic(`kill -9: another one led after ${Math.round(performance.now() - killedMs)} ms`);
  second.process.start();
  await until("it is back", async () => (await fetch(`${second.url}/api/v1/health`).catch(() => null))?.ok);
  await goesOn(replicas, ledger);
  for (const one of [second, third]) await givesOut(one, stack.client.token, id);

  const tookMs: number[] = [];
  for (let round = 0; round < HANDOVERS; round++) {
    const old = await leader(others);
    const askedMs = performance.now();
    old.process.signal("SIGTERM");
    const next = await leader(others.filter((one) => one !== old));
    tookMs.push(Math.round(performance.now() - askedMs));
    await stack.agentIs("READY", "behind");
    const backMs = Math.round(performance.now() - askedMs);
    assert.equal(await old.process.gone(), 0);
    t.diagnostic(`SIGTERM: another one led after ${tookMs.at(-1)} ms, the agent had a session after ${backMs} ms`);
    old.process.start();
    await until("it is back", async () => (await fetch(`${old.url}/api/v1/health`).catch(() => null))?.ok);
    await goesOn(replicas, ledger);
    await givesOut(next, stack.client.token, id);
  }
  assert.ok(Math.min(...tookMs) < HANDOVER_MS_MAX, `handovers took ${tookMs} ms`);

  await delay(Math.max(0, stoppedMs + STOPPED_MS - performance.now()));
  const { completed } = (await stack.experiment(id)).tasks;
  const client = createClient({ server: stopped.url, token: stack.client.token as string });
  const asked = client.call("getExperiment", { params: { experiment: id }, query: {} }).then(
    (experiment) => experiment.tasks.completed,
    (error: { code?: string }) => error.code,
  );
  stopped.process.signal("SIGCONT");
  const answer = await asked;
  // Of what it remembers nothing is told: it was a minute ago.
  if (typeof answer === "number") assert.ok(answer >= completed, `${answer} after ${completed}`);
  else assert.match(String(answer), /^(not_leading|server_unreachable)$/);
  assert.equal(await leads(stopped.url), false);
  balancer.takeBack(stopped.url);
  await until("it sends on", () =>
    givesOut(stopped, stack.client.token, id).then(
      () => true,
      () => false,
    ),
  );

  writeFileSync(go, "");
  assert.equal((await stack.ended(id, 120_000)).state, "COMPLETED");
  assert.deepEqual(await stack.taskStates(id), { COMPLETED: TASKS });
  const { contradictions, inVain, ends } = await judge(stack, id, TASKS, ledger);
  assert.deepEqual({ contradictions, inVain }, { contradictions: [], inVain: {} });
  assert.equal(ends["COMPLETED none"], TASKS);
}

/** The one of these that leads; waits for it. One that is stopped must not be among them: it takes a second to say nothing. */
function leader(among: Coordinating[]): Promise<Coordinating> {
  return until("one leads", async () => {
    const answers = await Promise.all(among.map(({ url }) => leads(url)));
    return among.find((_, i) => answers[i]);
  });
}

async function goesOn({ stack }: Replicas, ledger: Ledger): Promise<void> {
  for (const agent of ["behind", "other"]) await stack.agentIs("READY", agent);
  const before = ledger.ends();
  await until("tasks begun since then end", () => ledger.ends() > before + LANES);
}

/** Log, list of outputs and an output of a task that has ended. */
async function givesOut({ url }: Coordinating, token: string | undefined, experiment: number): Promise<void> {
  const client = createClient({ server: url, token: token as string });
  const task = `${experiment}.work.0`;
  const log = await client.open("readLog", {
    params: { task },
    query: { stream: "stdout", offset: 0, follow: "false" },
  });
  assert.equal(await log.text(), "log of 0\n");
  const params = { experiment, path: "work/0/out.txt" };
  const output = await client.open("readOutput", { params });
  assert.equal(await output.text(), "out\n");
}
