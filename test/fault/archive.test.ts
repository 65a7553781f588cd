/** A coordinator that is killed in the midst of archiving: between the file and the summary, between the summary and the drop. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../support/fault-process.ts";
import { FaultStack } from "../support/fault-stack.ts";

const SPEC = { tasks: { a: { argv: ["/bin/echo", "{n}"], task_inputs: { n: "1..4" } } } };

test("killed between file and summary, and between summary and drop: the next one finishes it", async (t) => {
  const archiveDir = mkdtempSync(join(tmpdir(), "airavata-archive-"));
  t.after(() => rmSync(archiveDir, { recursive: true, force: true }));
  const files = (): string[] =>
    readdirSync(archiveDir, { recursive: true, encoding: "utf8" }).filter((n) => /gz/.test(n));
  await FaultStack.with({ coordinatorWords: ["--archive-dir", archiveDir] }, async (stack) => {
    const id = await stack.submit(SPEC);
    await stack.ended(id);
    const retire = () => stack.client.call("retireExperiment", { params: { experiment: id } });

    // Somebody holds its row: the file is written, and the transaction waits.
    const holder = await stack.connection();
    await holder.query(`begin; select from experiment where experiment = ${id} for update`, 10_000);
    const cut = assert.rejects(retire());
    await until("the archive's transaction waits for the row", async () => {
      const text = "select from pg_stat_activity where wait_event_type = 'Lock' and query like '%experiment_summary%'";
      return (await stack.rows(text)).length > 0;
    });
    assert.deepEqual(files(), [`0/experiment-${id}.1.jsonl.gz`]);
    await stack.coordinator.kill("SIGKILL");
    await cut;
    await holder.query("commit", 10_000);
    await holder.end();
    stack.coordinator.start();
    await stack.leads();
    // A file that no summary names counts for nothing: everything is still there.
    assert.equal((await stack.experiment(id)).archived_at, undefined);
    assert.deepEqual(await stack.taskStates(id), { COMPLETED: 4 });
    await retire();
    const { archive } = await stack.experiment(id);
    assert.deepEqual(files(), [`0/experiment-${id}.1.jsonl.gz`]);
    const bytes = readFileSync(archive?.file?.path ?? "");
    assert.equal(createHash("sha256").update(bytes).digest("hex"), archive?.file?.sha256);

    // Its partition is closed by hand: the coordinator that comes finds it droppable at its start.
    await stack.coordinator.kill("SIGKILL");
    await stack.rows(
      `do $$ declare p record; begin
         for p in select parent, partition from journal_partition loop
           execute format('alter table %I detach partition %I', p.parent, p.partition);
           execute format('alter table %I attach partition %I for values from (0) to (${id + 1})', p.parent, p.partition);
         end loop;
         perform extend_partitions(1000, 1);
       end $$`,
    );
    stack.coordinator.start();
    await stack.leads();
    const left = "select from pg_class where relkind = 'r' and relname like '%\\_p0'";
    await until("its partitions are gone", async () => (await stack.rows(left)).length === 0);
    assert.equal((await stack.experiment(id)).tasks.completed, 4);
    const next = await stack.submit(SPEC);
    assert.equal(next, id + 1);
    assert.equal((await stack.ended(next)).state, "COMPLETED");
  });
});
