/**
 * Five cells of chaos and four of pressure, as queues on PostgreSQL are compared by: a steady load, the fault, and whether
 * the rate comes back. Each prints its recovery ratio; steadier figures: AIRAVATA_CELL_SECONDS=20 bin/node --test FILE.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Connection } from "../../db/connection.ts";
import { FaultStack } from "../support/fault-stack.ts";
import { type Cell, type Figures, runCell } from "./cell.ts";

const TIMEOUT_MS = 300_000;
/** How often a repeated fault comes. */
const AGAIN_MS = 700;
const NOTHING = async (): Promise<void> => {};
/** Ours, but for this query's own. */
const COORDINATOR_BACKENDS = `from pg_stat_activity
  where backend_type = 'client backend' and application_name <> 'fault' and pid <> pg_backend_pid()`;

const CHAOS: Cell[] = [
  {
    name: "postgres restart",
    strike: async ({ cluster }) => {
      await cluster.restart();
      return NOTHING;
    },
  },
  {
    name: "backend kill",
    strike: async (stack) => again(() => killBackends(stack)),
  },
  {
    name: "pool exhaustion",
    strike: async (stack) => {
      const taken = await takeAllConnections(stack);
      return async () => {
        await Promise.all(taken.map((connection) => connection.end()));
      };
    },
  },
  {
    name: "crash recovery",
    strike: async ({ coordinator, agent, cluster }) => {
      await Promise.all([coordinator.kill("SIGKILL"), agent.kill("SIGKILL"), cluster.crash()]);
      coordinator.start();
      agent.start();
      return NOTHING;
    },
  },
  {
    name: "repeated kills",
    strike: async ({ coordinator, agent }) => {
      let turn = 0;
      return again(async () => {
        const victim = turn++ % 2 === 0 ? agent : coordinator;
        await victim.kill("SIGKILL");
        victim.start();
      });
    },
  },
];

const PRESSURE: Cell[] = [
  {
    name: "idle transaction held open",
    strike: async (stack) => {
      const holder = await stack.connection();
      await holder.query("begin isolation level repeatable read", 5_000);
      await holder.query("select count(*), pg_current_xact_id() from journal", 5_000);
      return async () => {
        await holder.query("rollback", 5_000);
        await holder.end();
      };
    },
  },
  {
    name: "sustained load",
    strike: async (_stack, load) => {
      // Far more than can be run meanwhile, in many experiments: whatever grows with what waits would show.
      for (let i = 0; i < 20; i++) await load.add(500);
      return NOTHING;
    },
  },
  {
    name: "active readers",
    strike: async (stack) => {
      const readers = [0, 1, 2, 3].map(() => again(() => readAll(stack), 0));
      return async () => {
        for (const end of await Promise.all(readers)) await end();
      };
    },
  },
  {
    name: "burst",
    strike: async (_stack, load) => {
      await Promise.all(Array.from({ length: 200 }, () => load.add(10)));
      return NOTHING;
    },
  },
];

const shared: { stack?: FaultStack; end?: () => void; done?: Promise<void> } = {};
const table: Figures[] = [];

before(async () => {
  const ready = Promise.withResolvers<FaultStack>();
  const over = Promise.withResolvers<void>();
  shared.end = over.resolve;
  shared.done = FaultStack.with({ cpus: 2 }, async (stack) => {
    ready.resolve(stack);
    await over.promise;
  });
  shared.done.catch(ready.reject);
  shared.stack = await ready.promise;
});

after(async () => {
  shared.end?.();
  await shared.done;
  for (const { cell, ...figures } of table) console.log(`${cell}: ${JSON.stringify(figures)}`);
});

for (const cell of [...CHAOS, ...PRESSURE]) {
  test(`${cell.name}: every task counts once, and the work goes on`, { timeout: TIMEOUT_MS }, async (t) => {
    const figures = await runCell(shared.stack as FaultStack, cell);
    // That every task counts once was judged with it; how fast is printed, not asserted.
    assert.ok(figures.after > 0, "no task ended after the fault");
    t.diagnostic(JSON.stringify(figures));
    table.push(figures);
  });
}

/** Does it now and every `periodMs` until what this returns is called. */
async function again(act: () => Promise<void>, periodMs = AGAIN_MS): Promise<() => Promise<void>> {
  let isOver = false;
  const acting = (async () => {
    while (!isOver) {
      await act();
      await delay(periodMs);
    }
  })();
  acting.catch(() => {});
  return () => {
    isOver = true;
    return acting;
  };
}

async function killBackends(stack: FaultStack): Promise<void> {
  await stack.rows(`select pg_terminate_backend(pid) ${COORDINATOR_BACKENDS}`);
}

/** Every connection that the server has, those of the coordinator after it lost them. */
async function takeAllConnections(stack: FaultStack): Promise<Connection[]> {
  const taken: Connection[] = [await stack.connection()];
  const first = taken[0] as Connection;
  for (let killed = false; ; ) {
    try {
      taken.push(await stack.connection());
    } catch {
      if (killed) return taken;
      killed = true;
      await first.query(`select pg_terminate_backend(pid) ${COORDINATOR_BACKENDS}`, 5_000);
    }
  }
}

async function readAll(stack: FaultStack): Promise<void> {
  await stack.rows("select outcome, count(*), avg(cpu_ms), max(leased_at) from attempt group by outcome");
  await stack.client.call("listExperiments", { query: { limit: 100 } });
}
