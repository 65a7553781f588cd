/** Whatever was appended is loaded again exactly as it was, for batches of any shape. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type {
  Batch,
  DecisionRecord,
  EndRecord,
  LeaseRecord,
  SubmitRecord,
} from "../../../coordinator/dispatch/batch.ts";
import { createStore } from "../../../coordinator/store/store.ts";
import { Cutter, definition, end, lease, submit, template } from "../../support/journal.ts";
import { freshDatabase } from "../../support/postgres.ts";
import { needs } from "../../support/services.ts";

const text = fc.string({ unit: "grapheme", maxLength: 12 }).map((s) => s.replaceAll("\0", "").toWellFormed());
/** Columns are often uniform, often default, sometimes neither. */
const values = (length: number, any: fc.Arbitrary<number>): fc.Arbitrary<number[]> =>
  fc.oneof(
    fc.constant(new Array<number>(length).fill(0)),
    any.map((value) => new Array<number>(length).fill(value)),
    fc.array(any, { minLength: length, maxLength: length }),
  );
const indexes = fc.array(fc.nat(9_999_999), { minLength: 1, maxLength: 12 });
const experiment = fc.integer({ min: 1, max: 25_000 });
const sparse = (length: number): fc.Arbitrary<Record<string, string>> =>
  fc.dictionary(fc.nat(length - 1).map(String), text, { maxKeys: 3 }).map((entries) => ({ ...entries }));

const anyLease: fc.Arbitrary<LeaseRecord> = fc
  .record({ experiment, template: fc.nat(9), indexes, agent: fc.integer({ min: 1, max: 9 }), root: text })
  .chain(({ experiment, template, indexes, agent, root }) =>
    values(indexes.length, fc.integer({ min: 1, max: 2 ** 31 - 1 })).map((attempts) =>
      lease(experiment, template, indexes, { attempts, root, agent: agent as LeaseRecord["agent"] }),
    ),
  );

const small = fc.nat(14);
const milliseconds = fc.nat(Number.MAX_SAFE_INTEGER);
const anyEnd: fc.Arbitrary<EndRecord> = fc.record({ experiment, template: fc.nat(9), indexes }).chain((key) => {
  const { length } = key.indexes;
  const columns = {
    attempts: values(length, fc.integer({ min: 1, max: 2 ** 31 - 1 })),
    agents: values(length, fc.nat(9)),
    dispositions: values(length, fc.nat(1)),
    outcomes: values(length, fc.nat(4)),
    blames: values(length, small),
    charges: values(length, fc.nat(2)),
    exitCodes: values(length, fc.integer({ min: -1, max: 255 })),
    signals: values(length, fc.nat(64)),
    notBeforeMs: values(length, milliseconds),
    startedAtMs: values(length, milliseconds),
    endedAtMs: values(length, milliseconds),
    cpuMs: values(length, milliseconds),
    memoryMaxBytes: values(length, milliseconds),
    storage: fc.option(
      fc.record({ readBytes: values(length, milliseconds), writtenBytes: values(length, milliseconds) }),
      { nil: undefined },
    ),
    tails: sparse(length),
    details: sparse(length),
  };
  return fc.record(columns).map(({ storage, ...fields }) => {
    const some = storage?.readBytes.some(Boolean) || storage?.writtenBytes.some(Boolean);
    return end(key.experiment, key.template, key.indexes, some ? { ...fields, storage } : fields);
  });
});

const ranges = fc.array(fc.tuple(fc.nat(99), fc.nat(99)), { maxLength: 2 });
const anyDecision: fc.Arbitrary<DecisionRecord> = fc
  .record({
    kind: fc.constantFrom("cancel", "pause", "resume", "priority", "retry", "ended" as const),
    experiment,
    actor: fc.nat(1),
    reason: text,
    scope: fc.option(fc.array(fc.record({ template: fc.nat(9), ranges }), { maxLength: 2 })),
  })
  .map(({ kind, ...rest }) => {
    const value = kind === "priority" ? 7 : kind === "ended" ? "FAILED" : null;
    const counts = kind === "ended" ? { counts: { completed: 1, failed: 2, canceled: 3 } } : {};
    return { ...rest, kind, value, ...counts } as unknown as DecisionRecord;
  });

const anySubmit: fc.Arbitrary<Omit<SubmitRecord, "experiment">> = fc
  .record({
    name: text.map((s) => `n${s}`),
    specText: text,
    templates: fc.integer({ min: 1, max: 3 }),
    key: fc.boolean(),
  })
  .map(({ name, specText, templates, key }) => {
    const parts = Array.from({ length: templates }, (_, i) => template(i, `${name}.${i}`, i + 1));
    const idempotency = key ? { key: "", bodyHash: "b" } : null;
    const { experiment: _, ...rest } = submit(1, { definition: definition(parts, name), specText, idempotency });
    return rest;
  });

const anyBatch = fc.record({
  submits: fc.array(anySubmit, { maxLength: 3 }),
  leases: fc.array(anyLease, { maxLength: 3 }),
  ends: fc.array(anyEnd, { maxLength: 3 }),
  decisions: fc.array(anyDecision, { maxLength: 3 }),
  deltas: fc.array(
    fc.record({ experiment, leased: small, completed: small, failed: small, canceled: small, requeued: small }),
    { maxLength: 3 },
  ),
});

for (const version of ["embedded", "15"] as const) {
  test(`append and load are inverse (${version})`, { skip: version === "15" && needs("postgres15") }, async (t) => {
    const database = await freshDatabase(t, { version });
    const sql = await database.connect();
    // Records may name any experiment here, also one that was not submitted.
    await sql.query("select extend_partitions(29999, 1)", 5_000);
    const store = createStore(database.url);
    database.defer(() => store.close());
    const reign = await store.leadership(0, "here").campaign(t.signal);
    database.defer(() => reign.resign());
    await reign.load();
    const cutter = new Cutter(reign);
    const appended: Batch[] = [];
    let experimentLast = 0;
    await fc.assert(
      fc.asyncProperty(anyBatch, async ({ submits, ...parts }) => {
        const numbered = submits.map((fields) => {
          const key = `${++experimentLast}`;
          const idempotency = fields.idempotency && { ...fields.idempotency, key };
          return { ...fields, idempotency, experiment: experimentLast as SubmitRecord["experiment"] };
        });
        const batch = cutter.batch({ ...(parts as Partial<Batch>), submits: numbered });
        await reign.append(batch);
        appended.push(batch);
      }),
      { numRuns: 150, endOnFailure: true },
    );
    const loaded = await reign.load();
    assert.deepEqual(loaded.batches, plain(appended));
    assert.equal(loaded.experimentMax, experimentLast);
  });
}

/** Without the null prototypes that fast-check gives some objects. */
function plain<T>(value: T): T {
  return structuredClone(value);
}
