/**
 * Two coordinators behind a balancer that knows nothing: killed under a sweep, upgraded one after the other, stopped for
 * longer than a lease, cut off from PostgreSQL. Clients and agents use one address, whoever leads.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "../../shared/api/client.ts";
import { watch } from "../../shared/api/watch.ts";
import { AIRAVATA } from "../support/cli.ts";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { FaultProcess, until } from "../support/fault-process.ts";
import { type Coordinating, leads, Replicas } from "../support/fault-replicas.ts";
import { startProxy } from "../support/postgres/proxy.ts";

const REQUIRES = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };
const LANES = 8;
const SWEEP_TASKS = Number(process.env.AIRAVATA_FAULT_TASKS ?? 3_000);
const KILLS = 4;
/** A handover takes a fraction of a second; the rest is for a machine with other things to do. */
const HANDOVER_MS_MAX = 3_000;
/** Twice the leadership lease: another one leads by then. */
const STOPPED_MS = 12_000;

/** Tasks that do `work` and note their beginning and end. */
function spec(ledger: Ledger, tasks: number, work: string, environment: Record<string, string> = {}) {
  return {
    tasks: { work: { command: Ledger.command(work), task_inputs: { i: `1..${tasks}` }, requires: REQUIRES } },
    resources: { environment: { LEDGER: ledger.path, ...environment } },
  };
}

async function countsOnce(replicas: Replicas, id: number, tasks: number, ledger: Ledger): Promise<void> {
  const { stack } = replicas;
  assert.equal((await stack.ended(id)).state, "COMPLETED");
  assert.deepEqual(await stack.taskStates(id), { COMPLETED: tasks });
  const { contradictions, inVain, ends } = await judge(stack, id, tasks, ledger);
  assert.deepEqual(contradictions, []);
  assert.deepEqual(inVain, {});
  assert.equal(ends["COMPLETED none"], tasks);
}

test("a sweep through the balancer while whoever leads is killed again and again", async (t) => {
  await Replicas.with({ cpus: LANES }, async (replicas) => {
    const { stack } = replicas;
    const ledger = new Ledger(join(stack.directory, "ledger"));
    const file = join(stack.directory, "sweep.yaml");
    writeFileSync(file, JSON.stringify({ name: "sweep", ...spec(ledger, SWEEP_TASKS, "sleep 0.02") }));
    const run = new FaultProcess({
      name: "airavata run",
      program: AIRAVATA,
      words: ["run", file],
      env: stack.clientEnvironment,
      log: join(stack.directory, "run.log"),
    });
    run.start();
    const kill = async (round: number): Promise<void> => {
      const at = ((round + 1) / (KILLS + 1)) * SWEEP_TASKS;
      await until(`${at} tasks have ended`, () => ledger.ends() >= at, 120_000);
      const { leader, replica } = await replicas.roles();
      const killedMs = performance.now();
      await leader.process.kill("SIGKILL");
      await until("the other one leads", () => leads(replica.url));
      t.diagnostic(`kill -9 ${round + 1}: the other one led after ${Math.round(performance.now() - killedMs)} ms`);
      leader.process.start();
    };
    try {
      for (let round = 0; round < KILLS; round++) await kill(round);
      assert.equal(await run.gone(120_000), 0, run.said);
    } finally {
      await run.kill("SIGKILL");
    }
    const [experiment] = (await stack.client.call("listExperiments", { query: {} })).items;
    assert.ok(experiment);
    await countsOnce(replicas, experiment.id, SWEEP_TASKS, ledger);
  });
});

test("a rolling upgrade: each hands over at once, running tasks go on, a watcher misses nothing", async (t) => {
  await Replicas.with({ cpus: LANES }, async (replicas) => {
    const { stack, balancer } = replicas;
    const ledger = new Ledger(join(stack.directory, "ledger"));
    const go = join(stack.directory, "go");
    const tasks = 3 * LANES;
    const waiting = `while [ ! -e "$GO" ]; do sleep 0.02; done`;
    const id = await stack.submit(spec(ledger, tasks, waiting, { GO: go }));
    await until("the first tasks run", () => ledger.lines("begin").size === LANES);
    const watcher = new AbortController();
    const watched = watchUntilEnded(balancer.url, stack.client.token, id, watcher.signal);
    for (let round = 0; round < 2; round++) {
      const { leader, replica } = await replicas.roles();
      const asking = askWithoutEnd(balancer.url, stack.client.token);
      const askedMs = performance.now();
      leader.process.signal("SIGTERM");
      await until("the other one leads", () => leads(replica.url));
      const tookMs = Math.round(performance.now() - askedMs);
      await stack.agentIs("READY", "behind");
      const backMs = Math.round(performance.now() - askedMs);
      assert.equal(await leader.process.gone(), 0);
      const endedMs = Math.round(performance.now() - askedMs);
      const asked = await asking.stop();
      t.diagnostic(
        `SIGTERM ${round + 1}: the other one led after ${tookMs} ms, the agent was back after ${backMs} ms, the old one ended after ${endedMs} ms; reads meanwhile: ${JSON.stringify(asked)}`,
      );
      assert.ok(tookMs < HANDOVER_MS_MAX, `${tookMs} ms`);
      // Whoever asks is answered, or told to come back, or finds the connection closed; nothing else.
      assert.deepEqual(
        Object.keys(asked).filter((what) => !["answered", "not_leading", "server_unreachable"].includes(what)),
        [],
      );
      leader.process.start();
      await until("it is back", async () => (await fetch(`${leader.url}/api/v1/health`).catch(() => null))?.ok);
    }
    assert.equal(ledger.lines("end").size, 0);
    assert.equal(ledger.lines("begin").size, LANES);
    writeFileSync(go, "");
    await countsOnce(replicas, id, tasks, ledger);
    await watched;
  });
});

test("a dispatcher that was stopped for twelve seconds does no harm and sends on what it is asked", async (t) => {
  await Replicas.with({ cpus: LANES }, async (replicas) => {
    const { stack } = replicas;
    const { leader, replica } = await replicas.roles();
    const ledger = new Ledger(join(stack.directory, "ledger"));
    const go = join(stack.directory, "go");
    const tasks = 14 * LANES;
    // They end one after the other, so that there is progress at every time.
    const id = await stack.submit(spec(ledger, tasks, `sleep 0.2; [ -e "$GO" ] || sleep 1`, { GO: go }));
    await until("the first tasks have ended", () => ledger.ends() > 0);
    const stoppedMs = performance.now();
    leader.process.signal("SIGSTOP");
    // A balancer that asks for health leaves out who does not answer; this one is told.
    stack.url = replica.url;
    await until("the other one leads", () => leads(replica.url));
    t.diagnostic(`SIGSTOP: the other one led after ${Math.round(performance.now() - stoppedMs)} ms`);
    await stack.agentIs("READY", "behind");
    const doneBefore = ledger.ends();
    await until("tasks end under the new one", () => ledger.ends() > doneBefore);
    await delay(Math.max(0, stoppedMs + STOPPED_MS - performance.now()));

    const { completed } = (await stack.experiment(id)).tasks;
    assert.ok(completed > 0);
    const old = createClient({ server: leader.url, token: stack.client.token as string });
    const submitted = old.call("submitExperiment", { body: { spec: { tasks: { a: { command: "true" } } } } });
    const read = old.call("getExperiment", { params: { experiment: id }, query: {} });
    const settled = Promise.allSettled([submitted, read]);
    leader.process.signal("SIGCONT");
    const [submit, seen] = await settled;
    t.diagnostic(`asked while it was stopped: a submit was ${submit.status}, a read was ${seen.status}`);
    // What it still remembered is no answer: either it says that it does not know, or what the other one says.
    if (seen.status === "fulfilled") assert.ok(seen.value.tasks.completed >= completed);
    else assert.match(String(seen.reason.code), /^(not_leading|server_unreachable)$/);
    assert.equal(await leads(leader.url), false);
    await until("the old one sends on", async () => {
      const experiment = await old
        .call("getExperiment", { params: { experiment: id }, query: {} })
        .catch(() => undefined);
      return experiment !== undefined && experiment.tasks.completed >= completed;
    });
    writeFileSync(go, "");
    await countsOnce(replicas, id, tasks, ledger);
  });
});

test("a dispatcher that is cut off from PostgreSQL has stopped before another one leads", async (t) => {
  await Replicas.with({ cpus: LANES }, async (replicas) => {
    const { stack, coordinators } = replicas;
    const [first, second] = coordinators as [Coordinating, Coordinating];
    const proxy = await startProxy(stack.cluster.url("migrated"));
    try {
      await second.process.kill("SIGTERM");
      second.process.command.env.DATABASE_URL = proxy.url;
      second.process.start();
      await until("it is back", async () => (await fetch(`${second.url}/api/v1/health`).catch(() => null))?.ok);
      await first.process.kill("SIGTERM");
      await until("the one behind the proxy leads", () => leads(second.url));
      first.process.start();
      await until("it is back", async () => (await fetch(`${first.url}/api/v1/health`).catch(() => null))?.ok);
      await stack.agentIs("READY", "behind");
      const ledger = new Ledger(join(stack.directory, "ledger"));
      const id = await stack.submit(spec(ledger, 4 * LANES, "sleep 1"));
      await until("the first tasks run", () => ledger.lines("begin").size === LANES);

      const cutMs = performance.now();
      const swallowed = proxy.swallow();
      let lastSaidMs = cutMs;
      const watching = (async () => {
        for (let askedMs = cutMs; await leads(second.url); askedMs = performance.now()) lastSaidMs = askedMs;
      })();
      await until("the first one leads again", () => leads(first.url));
      const ledMs = performance.now();
      await watching;
      await swallowed;
      t.diagnostic(
        `cut off: it said for the last time after ${Math.round(lastSaidMs - cutMs)} ms that it leads; another one led after ${Math.round(ledMs - cutMs)} ms`,
      );
      assert.ok(lastSaidMs < ledMs);
      stack.url = first.url;
      await stack.agentIs("READY", "behind");
      await countsOnce(replicas, id, 4 * LANES, ledger);
    } finally {
      await second.process.kill("SIGKILL");
      await proxy.close();
    }
  });
});

/** Watches through the balancer, over every takeover, until the end of the experiment was told or shown. */
async function watchUntilEnded(
  server: string,
  token: string | undefined,
  experiment: number,
  signal: AbortSignal,
): Promise<void> {
  for await (const message of watch({ server, token, subscribe: { experiments: [experiment] }, signal })) {
    if (message.type === "experiment.ended") return;
    if ("experiments" in message && message.experiments.some(({ ended_at }) => ended_at !== null)) return;
  }
}

/** Reads from the dispatcher again and again, as one client does; counts how it was answered. */
function askWithoutEnd(server: string, token: string | undefined): { stop(): Promise<Record<string, number>> } {
  const client = createClient({ server, token: token as string, timeoutMs: 10_000 });
  const counts: Record<string, number> = {};
  let over = false;
  const asking = (async () => {
    while (!over) {
      const what = await client.call("listAgents", { query: {} }).then(
        () => "answered",
        (error: { code?: string }) => error.code ?? String(error),
      );
      counts[what] = (counts[what] ?? 0) + 1;
    }
  })();
  return {
    async stop() {
      over = true;
      await asking;
      return counts;
    },
  };
}
