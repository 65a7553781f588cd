/**
 * A real partition: the agent is in a network namespace of its own, and what is sent over the link is lost, in one
 * direction or in both. A short one costs nothing; a long one costs the leases, and no task counts twice.
 */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { FaultNamespace, type Lost } from "../support/fault-namespace.ts";
import { processesWith, until } from "../support/fault-process.ts";
import { endRunners, FaultStack } from "../support/fault-stack.ts";
import { needs } from "../support/services.ts";

const LANES = 4;
const SESSION_TTL_MS = 6_000;
/** Below what an agent trusts its leases for, less what a busy machine adds. */
const SHORT_MS = SESSION_TTL_MS / 4;
const REQUIRES = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };
const TIMEOUT_MS = 240_000;

test("partitions of an agent: short, long, in one direction", {
  skip: needs("root") || needs("iproute2"),
  timeout: TIMEOUT_MS,
}, async (t) => {
  const network = FaultNamespace.make();
  try {
    const coordinatorWords = ["--bind", network.address];
    await FaultStack.with(
      { cpus: LANES, sessionTtl: `${SESSION_TTL_MS / 1_000}s`, coordinatorWords },
      async (stack) => {
        await stack.agent.kill("SIGKILL");
        network.moveIn(stack.agent);
        stack.agent.start();
        await stack.agentIs("READY");
        await short(stack, network);
        for (const lost of ["both", "out", "in"] as const) {
          const tookMs = await long(stack, network, lost);
          t.diagnostic(`lost ${lost}: its tasks ran elsewhere after ${tookMs} ms`);
        }
      },
    );
  } finally {
    network.remove();
  }
});

async function short(stack: FaultStack, network: FaultNamespace): Promise<void> {
  const ledger = new Ledger(join(stack.directory, "ledger-short"));
  const tasks = 20 * LANES;
  const id = await submit(stack, ledger, tasks, "sleep 0.2");
  await until("tasks end", () => ledger.ends() > 0);
  network.lose("both");
  await delay(SHORT_MS);
  network.mend();
  await counts(stack, id, tasks, ledger, {});
}

/** Resolves with how long it took until all of the agent's tasks ran elsewhere. */
async function long(stack: FaultStack, network: FaultNamespace, lost: Lost): Promise<number> {
  const ledger = new Ledger(join(stack.directory, `ledger-${lost}`));
  const go = join(stack.directory, `go-${lost}`);
  const id = await submit(stack, ledger, LANES, `while [ ! -e "${go}" ]; do sleep 0.02; done`);
  await until("all tasks run", () => ledger.lines("begin").size === LANES);
  // The shells, and whatever sleeps just now.
  const first = (): number[] => processesWith(ledger.path, "AIRAVATA_ATTEMPT=1");
  network.lose(lost);
  const lostMs = performance.now();
  const otherDir = join(stack.directory, `other-${lost}`);
  const other = await stack.startAgent(`other-${lost}`, otherDir, stack.url);
  try {
    await until("all of them run a second time", () => ledger.lines("begin").size === 2 * LANES);
    const tookMs = Math.round(performance.now() - lostMs);
    // Nobody can tell the first attempts: they run on.
    assert.ok(first().length >= LANES);
    network.mend();
    await until("the superseded attempts are ended", () => first().length === 0);
    writeFileSync(go, "");
    await counts(stack, id, LANES, ledger, { "LOST agent_lost": LANES });
    rmSync(go);
    return tookMs;
  } finally {
    network.mend();
    await other.kill("SIGKILL");
    await endRunners(otherDir);
  }
}

function submit(stack: FaultStack, ledger: Ledger, tasks: number, work: string): Promise<number> {
  return stack.submit({
    tasks: { work: { command: Ledger.command(work), task_inputs: { i: `1..${tasks}` }, requires: REQUIRES } },
    resources: { environment: { LEDGER: ledger.path } },
  });
}

async function counts(
  stack: FaultStack,
  id: number,
  tasks: number,
  ledger: Ledger,
  vain: Record<string, number>,
): Promise<void> {
  assert.equal((await stack.ended(id)).state, "COMPLETED");
  assert.deepEqual(await stack.taskStates(id), { COMPLETED: tasks });
  const { contradictions, inVain } = await judge(stack, id, tasks, ledger);
  assert.deepEqual({ contradictions, inVain }, { contradictions: [], inVain: vain });
}
