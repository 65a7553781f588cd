/**
 * The program that was released before and the present one side by side: coordinators go from the older one to the
 * present one and back under a sweep, one after the other, on one database; agents of both work for whoever leads, and one
 * changes its own program with tasks running. Every task counts once and none is run in vain.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AIRAVATA } from "../support/cli.ts";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { type FaultProcess, until } from "../support/fault-process.ts";
import { type Coordinating, leads, Replicas } from "../support/fault-replicas.ts";
import { endRunners } from "../support/fault-stack.ts";
import { olderProgram } from "../support/older.ts";
import { needs } from "../support/services.ts";

const LANES = 4;
/** More than end while programs change, also on a busy machine; those that are left at the end are quick. */
const TASKS = 2_000;
/** So many end between two changes: some that began after the one before. */
const STEP_TASKS = 4 * LANES;
const TIMEOUT_MS = 480_000;
/** Some outlast every change of a program. */
const WORK = `if [ ! -e "$GO" ]; then sleep $((AIRAVATA_TASK_INDEX % 50 ? 1 : 5)); fi`;

test("an upgrade to this program and back, one coordinator after the other, under a sweep", {
  skip: needs("history"),
  timeout: TIMEOUT_MS,
}, async (t) => {
  const older = olderProgram();
  await Replicas.with({ cpus: LANES, program: older, empty: true }, async (replicas) => {
    const { stack, coordinators } = replicas;
    const presentDir = join(stack.directory, "present");
    const present = await stack.startAgent("present", presentDir, stack.url, AIRAVATA);
    try {
      const ledger = new Ledger(join(stack.directory, "ledger"));
      const go = join(stack.directory, "go");
      const requires = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };
      const tasks = { work: { command: Ledger.command(WORK), task_inputs: { i: `1..${TASKS}` }, requires } };
      const id = await stack.submit({ tasks, resources: { environment: { LEDGER: ledger.path, GO: go } } });
      const change = async (name: string, process: FaultProcess, to: string, ready: () => Promise<unknown>) => {
        const changedMs = performance.now();
        await process.kill("SIGTERM");
        assert.equal(process.ended, 0, `${name} ended with ${process.ended}`);
        process.command.program = to;
        process.start();
        await ready();
        for (const agent of ["behind", "present"]) await stack.agentIs("READY", agent);
        t.diagnostic(
          `${name} became ${to === older ? "the older" : "the present"} program in ${Math.round(performance.now() - changedMs)} ms`,
        );
        const before = ledger.ends();
        await until("tasks end", () => ledger.ends() >= before + STEP_TASKS);
      };
      const [first, second] = coordinators as [Coordinating, Coordinating];
      const back =
        ({ url }: Coordinating) =>
        async () => {
          await until("it answers", async () => (await fetch(`${url}/api/v1/health`).catch(() => null))?.ok);
          await until("one leads", async () => (await leads(first.url)) || (await leads(second.url)));
        };
      await change("the second coordinator", second.process, AIRAVATA, back(second));
      await change("the first coordinator", first.process, AIRAVATA, back(first));
      // An agent is killed, not drained: what runs is adopted by the other version.
      await adoptBy(replicas.agent, AIRAVATA);
      await stack.agentIs("READY", "behind");
      await adoptBy(present, older);
      await stack.agentIs("READY", "present");
      const schema = await stack.rows<{ version: number }>("select max(version)::int as version from schema_migration");
      t.diagnostic(`schema ${schema[0]?.version}`);
      await change("the second coordinator", second.process, older, back(second));
      await change("the first coordinator", first.process, older, back(first));
      await change("the second coordinator", second.process, AIRAVATA, back(second));

      writeFileSync(go, "");
      assert.equal((await stack.ended(id, 120_000)).state, "COMPLETED");
      assert.deepEqual(await stack.taskStates(id), { COMPLETED: TASKS });
      const { contradictions, inVain, ends } = await judge(stack, id, TASKS, ledger);
      assert.deepEqual({ contradictions, inVain }, { contradictions: [], inVain: {} });
      assert.equal(ends["COMPLETED none"], TASKS);
    } finally {
      await present.kill("SIGKILL");
      await endRunners(presentDir);
    }
  });
});

async function adoptBy(agent: FaultProcess, program: string): Promise<void> {
  await agent.kill("SIGKILL");
  agent.command.program = program;
  agent.start();
}
