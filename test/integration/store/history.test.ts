/** What people read of the past: lists, attempts, failures, decisions, and the views with a row per attempt. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Batch, DecisionRecord } from "../../../coordinator/dispatch/batch.ts";
import type { StoredHistory } from "../../../coordinator/store/records.ts";
import { createStore } from "../../../coordinator/store/store.ts";
import type { Connection } from "../../../db/connection.ts";
import {
  BLAME_NAMES,
  Blame,
  CHARGE_NAMES,
  Charge,
  DISPOSITION_NAMES,
  Disposition,
  OUTCOME_NAMES,
  Outcome,
} from "../../../shared/model/attempt.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import { Cutter, definition, end, lease, submit, template } from "../../support/journal.ts";
import { freshDatabase } from "../../support/postgres.ts";

interface Stage {
  history: StoredHistory;
  sql: Connection;
  append(parts: Partial<Batch>): Promise<void>;
}

async function stage(t: TestContext): Promise<Stage> {
  const database = await freshDatabase(t);
  const store = createStore(database.url);
  database.defer(() => store.close());
  const reign = await store.leadership(0, "here").campaign(t.signal);
  database.defer(() => reign.resign());
  const cutter = new Cutter(reign);
  return {
    history: store.history(0),
    sql: await database.connect(),
    append: (parts) => reign.append(cutter.batch(parts)),
  };
}

const one = 1 as ExperimentId;

function decision(
  kind: DecisionRecord["kind"],
  experiment: number,
  fields: Partial<DecisionRecord> = {},
): DecisionRecord {
  return {
    kind,
    experiment: experiment as ExperimentId,
    actor: 1 as never,
    scope: null,
    reason: "because",
    value: null,
    ...fields,
  };
}

const named = (name: string) => ({ definition: definition([template(0, "a", 10), template(1, "b", 5)], name) });
const everything = { before: null, limit: 10, state: null, project: null, name: null, visible: null };

test("experiments are listed newest first, page by page, and filtered", async (t) => {
  const { history, sql, append } = await stage(t);
  await sql.query("insert into project (project, name) values (5, 'other')", 5_000);
  await append({
    submits: [
      submit(1, named("Alpha one")),
      submit(2, named("alphabet")),
      submit(3, { ...named("beta"), project: 5 as never }),
    ],
  });
  await append({
    decisions: [decision("ended", 2, { value: "FAILED", counts: { completed: 12, failed: 2, canceled: 1 } })],
  });
  const list = async (fields: object): Promise<number[]> =>
    (await history.experiments({ ...everything, ...fields })).map((row) => row.experiment);
  assert.deepEqual(await list({}), [3, 2, 1]);
  assert.deepEqual(await list({ limit: 2 }), [3, 2]);
  assert.deepEqual(await list({ before: 2 }), [1]);
  assert.deepEqual(await list({ name: "ALPHA" }), [2, 1]);
  assert.deepEqual(await list({ name: "%" }), []);
  assert.deepEqual(await list({ project: "other" }), [3]);
  assert.deepEqual(await list({ project: "nowhere" }), []);
  assert.deepEqual(await list({ state: "unfinished" }), [3, 1]);
  assert.deepEqual(await list({ state: "FAILED" }), [2]);
  assert.deepEqual(await history.experiment(2 as ExperimentId), {
    experiment: 2,
    name: "alphabet",
    project: "default",
    priority: 0,
    submittedAtMs: 1_700_000_001_000,
    tasks: 15,
    end: { state: "FAILED", atMs: 1_700_000_002_000, seq: 2, completed: 12, failed: 2, canceled: 1 },
    archivedAtMs: null,
  });
  assert.equal(await history.experiment(9 as ExperimentId), undefined);
});

test("the summary follows decisions: ended, retried, ended anew, priority", async (t) => {
  const { history, append } = await stage(t);
  await append({ submits: [submit(1)] });
  const counts = { completed: 10, failed: 0, canceled: 0 };
  const state = async (): Promise<unknown> => {
    const found = await history.experiment(one);
    return [found?.end?.state ?? null, found?.priority];
  };
  await append({
    decisions: [decision("priority", 1, { value: 7 }), decision("ended", 1, { value: "FAILED", counts })],
  });
  assert.deepEqual(await state(), ["FAILED", 7]);
  await append({ decisions: [decision("retry", 1)] });
  assert.deepEqual(await state(), [null, 7]);
  // Within one batch the last word counts.
  await append({ decisions: [decision("retry", 1), decision("ended", 1, { value: "COMPLETED", counts })] });
  assert.deepEqual(await state(), ["COMPLETED", 7]);
  await append({ decisions: [decision("priority", 1, { value: -3 }), decision("priority", 1, { value: 4 })] });
  assert.deepEqual(await state(), ["COMPLETED", 4]);
  const decisions = await history.decisions(one, 2, 2);
  assert.deepEqual(
    decisions.map(({ seq, kind, value }) => [seq, kind, value]),
    [
      [3, "retry", null],
      [4, "retry", null],
    ],
  );
  assert.equal(decisions[0]?.atMs, 1_700_000_003_000);
});

test("definition and spec come back as they were sent", async (t) => {
  const { history, append } = await stage(t);
  const sent = submit(1, { ...named("x"), specText: "name: x\n# ü €\n" });
  await append({ submits: [sent] });
  assert.deepEqual(await history.definition(one), sent.definition);
  assert.equal(await history.specText(one), sent.specText);
  assert.equal(await history.definition(2 as ExperimentId), undefined);
  assert.equal(await history.specText(2 as ExperimentId), undefined);
  assert.equal(await history.project("default"), 1);
  assert.equal(await history.project("nowhere"), undefined);
});

test("attempts by index; of two ends of one attempt the FINAL one counts, also within one batch", async (t) => {
  const { history, sql, append } = await stage(t);
  await append({ submits: [submit(1, named("x"))], leases: [lease(1, 0, [3, 1, 2])] });
  const lost = {
    outcomes: [Outcome.LOST],
    blames: [Blame.AGENT_LOST],
    charges: [Charge.INFRASTRUCTURE],
    dispositions: [Disposition.REQUEUE],
  };
  await append({
    ends: [end(1, 0, [3], { ...lost, startedAtMs: [0], endedAtMs: [0] }), end(1, 0, [2], lost), end(1, 0, [2])],
  });
  await append({ ends: [end(1, 0, [1, 3], { exitCodes: [0, 0], agents: [1, 4] })], leases: [lease(1, 0, [5])] });
  const found = await history.attempts({ experiment: one, template: 0 }, 2, 9);
  assert.deepEqual(
    found.map((a) => [a.index, a.attempt, a.outcome, a.agent]),
    [
      [2, 1, Outcome.COMPLETED, 1],
      [3, 1, Outcome.COMPLETED, 4],
    ],
  );
  assert.deepEqual(found[1], {
    index: 3,
    attempt: 1,
    agent: 4,
    disposition: 0,
    outcome: 0,
    blame: 0,
    charge: 0,
    exitCode: 0,
    signal: 0,
    startedAtMs: 1_700_000_000_000,
    endedAtMs: 1_700_000_001_500,
    notBeforeMs: 0,
    cpuMs: 12,
    memoryMaxBytes: 4_096,
    readBytes: 0,
    writtenBytes: 0,
    tail: null,
    detail: null,
  });
  const rows = await sql.rows(
    `select index, attempt, template_name, outcome, disposition, agent::int, leased_seq::int, ended_seq::int
     from attempt where experiment = 1 order by index`,
    [],
    5_000,
  );
  const row = { attempt: 1, template_name: "a", outcome: "COMPLETED", disposition: "FINAL", agent: 1, leased_seq: 1 };
  assert.deepEqual(rows, [
    { ...row, index: 1, ended_seq: 3 },
    { ...row, index: 2, ended_seq: 2 },
    { ...row, index: 3, ended_seq: 3 },
    { ...row, index: 5, leased_seq: 3, outcome: null, disposition: null, ended_seq: null },
  ]);
});

test("failures: final ones alone, newest first, and not what a retry has mended", async (t) => {
  const { history, append } = await stage(t);
  await append({ submits: [submit(1, named("x"))] });
  const failed = (index: number, code: number, disposition: number = Disposition.FINAL) =>
    end(1, 0, [index], {
      outcomes: [Outcome.FAILED],
      blames: [Blame.EXIT],
      exitCodes: [code],
      dispositions: [disposition],
      tails: { 0: `tail ${code}` },
    });
  await append({ ends: [failed(0, 9, Disposition.REQUEUE), failed(1, 11), end(1, 1, [0])] });
  await append({ ends: [failed(2, 12), failed(3, 13)] });
  const codes = async (limit = 10): Promise<unknown> =>
    (await history.failures(one, limit)).map((f) => [f.template, f.index, f.exitCode, f.tail]);
  assert.deepEqual(await codes(), [
    [0, 2, 12, "tail 12"],
    [0, 3, 13, "tail 13"],
    [0, 1, 11, "tail 11"],
  ]);
  assert.deepEqual(await codes(1), [[0, 2, 12, "tail 12"]]);
  await append({ decisions: [decision("retry", 1)] });
  await append({ ends: [end(1, 0, [2], { attempts: [2] }), failed(3, 33)] });
  assert.deepEqual(await codes(), [
    [0, 3, 33, "tail 33"],
    [0, 1, 11, "tail 11"],
  ]);
});

test("the view says the names that the model has", async (t) => {
  const { sql, append } = await stage(t);
  await append({ submits: [submit(1)] });
  const names: [string, string, readonly string[]][] = [
    ["outcomes", "outcome", OUTCOME_NAMES],
    ["blames", "blame", BLAME_NAMES],
    ["charges", "charged_to", CHARGE_NAMES],
    ["dispositions", "disposition", DISPOSITION_NAMES],
  ];
  let ordinal = 0;
  for (const [column, shown, expected] of names) {
    const codes = expected.map((_, code) => code);
    await append({ leases: [lease(1, ordinal, codes)], ends: [end(1, ordinal, codes, { [column]: codes })] });
    const rows = await sql.rows<Record<string, string>>(
      `select ${shown} from attempt where template = $1 order by index`,
      [ordinal],
      5_000,
    );
    assert.deepEqual(
      rows.map((row) => row[shown]),
      expected,
    );
    ordinal++;
  }
});
