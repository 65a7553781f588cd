/** An ended experiment is archived, by its age or by hand: what stays of it, what it answers, where its tasks went. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { ApiError } from "../../../shared/api/client.ts";
import { ExperimentDetail } from "../../../shared/api/experiment.ts";
import { completeEverything, connectAgent, endGroup, enrolTestAgent, until } from "../../support/agent-peer.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { needs } from "../../support/services.ts";

const SPEC = `
name: sweep
parameters: { seed: { type: int, default: 42 } }
tasks:
  a:
    command: echo {n}
    task_inputs: { n: 1..5 }
  b:
    command: echo {n} {seed}
    foreach: [a]
`;

const show = (at: TestCoordinator, experiment: number): Promise<ExperimentDetail> =>
  at.client.call("getExperiment", { params: { experiment } });

const ended = (at: TestCoordinator, experiment: number): Promise<ExperimentDetail> =>
  until(async () => {
    const detail = await show(at, experiment);
    return detail.ended_at !== null && detail;
  }, `the end of experiment ${experiment}`);

const archived = (at: TestCoordinator, experiment: number): Promise<ExperimentDetail> =>
  until(async () => {
    const detail = await show(at, experiment);
    return detail.archived_at !== undefined && detail;
  }, `experiment ${experiment} to be archived`);

function refused(code: string, sentence: RegExp) {
  return (error: unknown): true => {
    assert.ok(error instanceof ApiError);
    assert.equal(error.code, code);
    assert.match(error.message, sentence);
    return true;
  };
}

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "airavata-archive-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** One whose task a.2 fails, with b.2 canceled for it. */
async function runOne(at: TestCoordinator): Promise<number> {
  const peer = await connectAgent(at, await enrolTestAgent(at));
  peer.on((message) => {
    if (message.type !== "leases") return;
    for (const { experiment, template, indexes, attempts } of message.groups) {
      indexes.forEach((index, i) => {
        const group = { experiment, template, indexes: [index], attempts: [attempts[i] as number] };
        if (template === 0 && index === 2) endGroup(peer, group, 3, "no such ligand\n");
        else endGroup(peer, group);
      });
    }
  });
  peer.send({ type: "free", ahead: 10, lastsMs: null, draining: false });
  const { id } = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  await ended(at, id);
  return id;
}

test("by hand: the summary answers, tasks answer 410, the file has the rest, and the spec runs again", async (t) => {
  const archiveDir = directory(t);
  const at = await startTestCoordinator(t, { archiveDir });
  const id = await runOne(at);
  const before = await show(at, id);
  const done = await at.client.call("retireExperiment", { params: { experiment: id } });
  assert.notEqual(done.archived_at, undefined);
  assert.deepEqual(await at.client.call("retireExperiment", { params: { experiment: id } }), done);

  const after = await show(at, id);
  const { archive, archived_at, ...rest } = after;
  assert.deepEqual(
    { ...rest, templates: rest.templates.map((template) => ({ ...template, run_time: null })) },
    { ...before, templates: before.templates.map((template) => ({ ...template, run_time: null })) },
  );
  assert.deepEqual(ExperimentDetail.parse(after), after);
  assert.equal(after.state, "FAILED");
  assert.deepEqual(after.parameters, { seed: "42" });
  assert.equal(archived_at, done.archived_at);
  // Five attempts of a and four of b, 1.5 s each on one cpu.
  assert.deepEqual(archive?.resources, {
    attempts: 9,
    cpu_seconds: 0.09,
    core_seconds: 13.5,
    run_seconds: 13.5,
    memory_max_bytes: 1 << 20,
  });
  assert.deepEqual(
    archive?.failures.map(({ template, blame, exit_code, tasks, stderr_tail }) => [
      template,
      blame,
      exit_code,
      tasks,
      stderr_tail,
    ]),
    [["a", "exit", 3, 1, "no such ligand\n"]],
  );

  const file = archive?.file;
  assert.ok(file);
  const bytes = readFileSync(file.path);
  assert.equal(bytes.length, file.size_bytes);
  assert.equal(createHash("sha256").update(bytes).digest("hex"), file.sha256);
  const records = gunzipSync(bytes)
    .toString("utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual([records[0].record, records[0].spec, records.at(-1).record], ["experiment", SPEC, "summary"]);
  const ends = records.filter(({ record }) => record === "ends").flatMap(({ indexes }) => indexes);
  assert.equal(ends.length, 9);

  const { items } = await at.client.call("listExperiments", {});
  assert.deepEqual(
    items.map((item) => [item.id, item.state, item.archived_at]),
    [[id, "FAILED", archived_at]],
  );
  const gone = refused("experiment_archived", new RegExp(`experiment ${id} was archived on .*are in ${archiveDir}`));
  const task = `${id}.a.2`;
  await assert.rejects(at.client.call("listTasks", { params: { experiment: id } }), gone);
  await assert.rejects(at.client.call("getTask", { params: { task } }), gone);
  await assert.rejects(at.client.call("listAttempts", { params: { task } }), gone);
  await assert.rejects(at.client.call("explainTask", { params: { task } }), gone);
  await assert.rejects(at.client.open("readLog", { params: { task }, query: { stream: "stdout" } }), gone);
  await assert.rejects(at.client.call("listOutputs", { params: { experiment: id } }), gone);
  await assert.rejects(at.client.call("retryExperiment", { params: { experiment: id }, body: {} }), gone);
  await assert.rejects(
    at.client.call("retryExperiment", { params: { experiment: id }, body: { tasks: [task] } }),
    gone,
  );
  assert.equal((await fetch(`${at.url}/api/v1/tasks/${task}`, auth(at))).status, 410);

  const explained = await at.client.call("explainExperiment", { params: { experiment: id } });
  assert.match(explained.reasons[1]?.message ?? "", /It was archived on/);
  assert.deepEqual(explained.failures, archive?.failures);
  const timeline = await at.client.call("experimentTimeline", { params: { experiment: id } });
  assert.deepEqual(
    timeline.items.map(({ kind }) => kind),
    ["submitted", "ended"],
  );
  const { spec } = await at.client.call("getExperiment", { params: { experiment: id }, query: { include: "spec" } });
  assert.equal(spec, SPEC);
  const again = await at.client.call("submitExperiment", { body: { spec: spec as string } });
  assert.equal(again.id, id + 1);
  await ended(at, again.id);

  await at.restart();
  assert.equal((await show(at, id)).archived_at, archived_at);
});

const auth = (at: TestCoordinator) => ({ headers: { authorization: `Bearer ${at.token}` } });

test("by age: it goes by itself, its partitions too, and the next ones go on", async (t) => {
  const at = await startTestCoordinator(t, { retentionMs: 1_000 });
  const peer = await connectAgent(at, await enrolTestAgent(at));
  completeEverything(peer);
  const { id } = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  await ended(at, id);
  // A checkpoint is due a minute after the last one; asking for another experiment's archive makes one now.
  const second = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  await ended(at, second.id);
  await at.client.call("retireExperiment", { params: { experiment: second.id } });
  const detail = await archived(at, id);
  assert.equal(detail.archive?.file, null);
  await assert.rejects(
    at.client.call("listTasks", { params: { experiment: id } }),
    refused("experiment_archived", /its tasks and attempts were not kept/),
  );
  const third = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  assert.equal((await ended(at, third.id)).state, "COMPLETED");
});

test("what has not ended is not archived, and says so", async (t) => {
  const at = await startTestCoordinator(t);
  const { id } = await at.client.call("submitExperiment", { body: { spec: SPEC } });
  await assert.rejects(
    at.client.call("retireExperiment", { params: { experiment: id } }),
    refused("experiment_state_conflict", /is CREATED but must have ended/),
  );
  await assert.rejects(
    at.client.call("retireExperiment", { params: { experiment: 99 } }),
    refused("experiment_not_found", /there is no experiment 99/),
  );
});

test("while the archive cannot be written the rows stay, and the answer says where and why", async (t) => {
  const parent = directory(t);
  const archiveDir = join(parent, "archive");
  writeFileSync(archiveDir, "a file is no directory");
  const at = await startTestCoordinator(t, { archiveDir });
  const id = await runOne(at);
  const retire = () => at.client.call("retireExperiment", { params: { experiment: id } });
  await assert.rejects(retire(), refused("archive_not_written", /experiment-1\.1\.jsonl\.gz cannot be written/));
  assert.equal((await at.client.call("listTasks", { params: { experiment: id } })).items.length, 10);
  // Still there to be retried: that it was to be archived left nothing behind.
  await at.client.call("retryExperiment", { params: { experiment: id }, body: {} });
  await ended(at, id);
  rmSync(archiveDir);
  assert.notEqual((await retire()).archived_at, undefined);
});

test("a full disk leaves no half of a file under its name", { skip: needs("root") }, async (t) => {
  const archiveDir = mkdtempSync(join(tmpdir(), "airavata-archive-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=16k", "tmpfs", archiveDir]);
  t.after(() => {
    execFileSync("umount", [archiveDir]);
    rmSync(archiveDir, { recursive: true });
  });
  writeFileSync(join(archiveDir, "filler"), Buffer.alloc(16 * 1024));
  const at = await startTestCoordinator(t, { archiveDir });
  const id = await runOne(at);
  const retire = () => at.client.call("retireExperiment", { params: { experiment: id } });
  await assert.rejects(retire(), refused("archive_not_written", /the disk is full/));
  assert.deepEqual(execFileSync("find", [archiveDir, "-name", "experiment*"]).toString(), "");
  rmSync(join(archiveDir, "filler"));
  assert.notEqual((await retire()).archived_at, undefined);
});
