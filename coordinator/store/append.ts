/**
 * A batch as the arguments of `journal_append` (db/migrations/000003, last changed in 000006): everything that is durable about work goes through
 * this one call.
 */
import type pg from "pg";
import type {
  Batch,
  DecisionRecord,
  EndRecord,
  LeaseRecord,
  Origin,
  StorageColumns,
  SubmitRecord,
} from "../dispatch/batch.ts";
import { allNumbers, BIGINT, column, INTEGER, SMALLINT, sparseTexts, storable } from "./columns.ts";

/** Number of arguments of `journal_append`. */
const ARGUMENTS = 64;
const CALL = `journal_append(${Array.from({ length: ARGUMENTS }, (_, i) => `$${i + 1}`).join(", ")})`;
const TEXT = `select ${CALL}`;
/** Until the transaction's end, which is the statement's: the audit's triggers read it (db/migrations/000018). */
const TEXT_WITH_ORIGINS = `select set_config('airavata.origins', $${ARGUMENTS + 1}, true), ${CALL}`;

type Argument = string | number | (string | number | null)[] | null;

/** A named statement: parsed once per connection. */
export function appendQuery(batch: Batch): pg.QueryConfig {
  const values: Argument[] = [
    batch.shard,
    batch.term,
    batch.seq,
    new Date(batch.atMs).toISOString(),
    deltaArgument(batch),
    ...submitArguments(batch.submits),
    ...leaseArguments(batch.leases.filter(holdsTasks)),
    ...endArguments(batch.ends.filter(holdsTasks)),
    ...decisionArguments(batch.decisions),
    ...storageArguments(batch.ends.filter(holdsTasks)),
  ];
  const origins = originsArgument(batch);
  if (origins === null) return { name: "journal_append", text: TEXT, values };
  return { name: "journal_append_origins", text: TEXT_WITH_ORIGINS, values: [...values, origins] };
}

/** By position; null where nobody knows of any, as in nearly all appends. */
function originsArgument({ submits, decisions }: Batch): string | null {
  if (![...submits, ...decisions].some(({ origin }) => origin)) return null;
  const of = (records: readonly { origin?: Origin | undefined }[]) => records.map(({ origin }) => origin ?? null);
  return storable(JSON.stringify({ submits: of(submits), decisions: of(decisions) }));
}

/** A record of no task says nothing. */
function holdsTasks({ indexes }: { indexes: number[] }): boolean {
  return indexes.length > 0;
}

function deltaArgument(batch: Batch): string | null {
  if (batch.deltas.length === 0) return null;
  return allNumbers(
    batch.deltas.map((d) => [d.experiment, d.leased, d.completed, d.failed, d.canceled, d.requeued]),
    BIGINT,
  );
}

function none(count: number): null[] {
  return new Array<null>(count).fill(null);
}

/** One array of numbers from a record each. */
function each<R>(records: readonly R[], range: typeof BIGINT, pick: (record: R) => number): string {
  return allNumbers([records.map(pick)], range);
}

function submitArguments(submits: SubmitRecord[]): Argument[] {
  if (submits.length === 0) return none(15);
  const templates = submits.flatMap(({ experiment, definition }) =>
    definition.templates.map((template) => ({ experiment, template })),
  );
  return [
    each(submits, BIGINT, (submit) => submit.experiment),
    each(submits, BIGINT, (submit) => submit.project),
    each(submits, BIGINT, (submit) => submit.actor),
    submits.map((submit) => storable(submit.definition.name)),
    each(submits, INTEGER, (submit) => submit.definition.priority),
    each(submits, BIGINT, (submit) => submit.definition.templates.reduce((sum, template) => sum + template.count, 0)),
    submits.map(({ definition: { templates: _, ...header } }) => JSON.stringify(header)),
    submits.map((submit) => storable(submit.specText)),
    submits.some((submit) => submit.idempotency)
      ? submits.map(({ idempotency }) => (idempotency ? storable(idempotency.key) : null))
      : null,
    submits.map((submit) => submit.idempotency?.bodyHash ?? null),
    each(templates, BIGINT, ({ experiment }) => experiment),
    each(templates, INTEGER, ({ template }) => template.ordinal),
    templates.map(({ template }) => storable(template.name)),
    each(templates, BIGINT, ({ template }) => template.count),
    templates.map(({ template }) => JSON.stringify(template)),
  ];
}

/** Lowest and highest index, and first and last position in the concatenated columns (from 1), of each record. */
function spans(records: readonly { indexes: number[] }[]): Argument[] {
  const [lows, highs, firsts, lasts]: [number[], number[], number[], number[]] = [[], [], [], []];
  let position = 0;
  for (const { indexes } of records) {
    let [low, high] = [indexes[0] as number, indexes[0] as number];
    for (const index of indexes) {
      if (index < low) low = index;
      if (index > high) high = index;
    }
    lows.push(low);
    highs.push(high);
    firsts.push(position + 1);
    position += indexes.length;
    lasts.push(position);
  }
  return [lows, highs, firsts, lasts].map((numbers) => allNumbers([numbers], INTEGER));
}

function leaseArguments(leases: LeaseRecord[]): Argument[] {
  if (leases.length === 0) return none(11);
  return [
    each(leases, BIGINT, (lease) => lease.experiment),
    each(leases, INTEGER, (lease) => lease.template),
    each(leases, BIGINT, (lease) => lease.agent),
    each(leases, BIGINT, (lease) => lease.epoch),
    leases.map((lease) => storable(lease.root)),
    ...spans(leases),
    allNumbers(
      leases.map((lease) => lease.indexes),
      INTEGER,
    ),
    column(
      leases.map((lease) => lease.attempts),
      INTEGER,
      1,
    ),
  ];
}

function endArguments(ends: EndRecord[]): Argument[] {
  if (ends.length === 0) return none(22);
  const of = (pick: (end: EndRecord) => number[], range: typeof BIGINT, fallback: number | null): string | null =>
    column(ends.map(pick), range, fallback);
  return [
    each(ends, BIGINT, (end) => end.experiment),
    each(ends, INTEGER, (end) => end.template),
    ...spans(ends),
    allNumbers(
      ends.map((end) => end.indexes),
      INTEGER,
    ),
    of((end) => end.attempts, INTEGER, 1),
    of((end) => end.agents, BIGINT, null),
    of((end) => end.dispositions, SMALLINT, 0),
    of((end) => end.outcomes, SMALLINT, 0),
    of((end) => end.blames, SMALLINT, 0),
    of((end) => end.charges, SMALLINT, 0),
    of((end) => end.exitCodes, INTEGER, 0),
    of((end) => end.signals, SMALLINT, 0),
    of((end) => end.notBeforeMs, BIGINT, 0),
    of((end) => end.startedAtMs, BIGINT, 0),
    of((end) => end.endedAtMs, BIGINT, 0),
    of((end) => end.cpuMs, BIGINT, 0),
    of((end) => end.memoryMaxBytes, BIGINT, 0),
    ends.map((end) => sparseTexts(end.tails)),
    ends.map((end) => sparseTexts(end.details)),
  ];
}

/** Bytes from and to storage: none when no end of the batch has any, which is the usual case. */
function storageArguments(ends: EndRecord[]): Argument[] {
  if (!ends.some(({ storage }) => storage !== undefined)) return none(2);
  const of = (pick: (storage: StorageColumns) => number[]): string | null =>
    column(
      ends.map(({ storage, indexes }) => (storage ? pick(storage) : new Array<number>(indexes.length).fill(0))),
      BIGINT,
      0,
    );
  return [of(({ readBytes }) => readBytes), of(({ writtenBytes }) => writtenBytes)];
}

function decisionArguments(decisions: DecisionRecord[]): Argument[] {
  if (decisions.length === 0) return none(9);
  return [
    decisions.map((decision) => decision.kind),
    each(decisions, BIGINT, (decision) => decision.experiment),
    each(decisions, BIGINT, (decision) => decision.actor),
    decisions.map((decision) => storable(decision.reason)),
    decisions.map((decision) => (decision.scope === null ? null : JSON.stringify(decision.scope))),
    decisions.map((decision) => (decision.value === null ? null : JSON.stringify(decision.value))),
    decisions.map((decision) => decision.counts?.completed ?? null),
    decisions.map((decision) => decision.counts?.failed ?? null),
    decisions.map((decision) => decision.counts?.canceled ?? null),
  ];
}
