/**
 * Everything the journal has of one experiment as lines of JSON, for its archive file: what was sent, the templates, every
 * decision, lease and end, in columns as they are stored. The form is described in docs/retention.md.
 */
import type { ConnectionPool } from "../../db/pool.ts";
import type { ExperimentId } from "../../shared/model/ids.ts";

/** At 2,000 tasks a row and 100 bytes a task these are 4 MB; the smallest rows come 20 to a round trip all the same. */
const ROWS_PER_PAGE = 20;

/** The journal's rows of one experiment, and how a page of them goes on from the one before. */
const PARTS: { record: string; from: string }[] = [
  { record: "decision", from: "select d.*, j.at from decision d left join journal j using (shard, seq)" },
  { record: "leases", from: "select l.*, j.at from lease l left join journal j using (shard, seq)" },
  { record: "ends", from: "select e.*, j.at from attempt_end e left join journal j using (shard, seq)" },
];

/** In the order of the journal within each kind. Without line ends. */
export async function* archiveLines(pool: ConnectionPool, shard: number, id: ExperimentId): AsyncGenerator<string> {
  const [head] = await pool.rows<{ line: string }>(
    `select (jsonb_build_object('record', 'experiment', 'format', 1, 'experiment', x.experiment, 'name', x.name,
         'project', p.name, 'actor', x.actor, 'priority', x.priority, 'tasks', x.tasks, 'state', x.state,
         'completed', x.completed, 'failed', x.failed, 'canceled', x.canceled,
         'submitted_at', x.submitted_at, 'ended_at', x.ended_at, 'definition', s.header::jsonb, 'spec', s.spec))::text as line
     from experiment x join project p using (project)
       join experiment_source s on s.shard = x.shard and s.experiment = x.experiment
     where x.shard = $1 and x.experiment = $2`,
    [shard, id],
  );
  if (!head) throw new Error(`experiment ${id} has no definition any more`);
  yield head.line;
  for (let after = -1; ; ) {
    const templates = await pool.rows<{ template: number; line: string }>(
      `select template, jsonb_build_object('record', 'template', 'template', template, 'name', name, 'tasks', tasks,
         'definition', definition::jsonb)::text as line
       from template where shard = $1 and experiment = $2 and template > $3 order by template limit ${ROWS_PER_PAGE}`,
      [shard, id, after],
    );
    for (const { line } of templates) yield line;
    const last = templates.at(-1);
    if (!last) break;
    after = last.template;
  }
  for (const part of PARTS) yield* rowLines(pool, shard, id, part);
}

async function* rowLines(
  pool: ConnectionPool,
  shard: number,
  id: ExperimentId,
  { record, from }: (typeof PARTS)[number],
): AsyncGenerator<string> {
  for (let [seq, position] = [0, -1]; ; ) {
    const rows = await pool.rows<{ seq: number; position: number; line: string }>(
      `select r.seq, r.position,
         (jsonb_build_object('record', $5::text) || jsonb_strip_nulls(to_jsonb(r) - 'shard' - 'experiment' - 'position'))::text as line
       from (${from} where shard = $1 and experiment = $2 and (seq, position) > ($3, $4)
             order by seq, position limit ${ROWS_PER_PAGE}) r`,
      [shard, id, seq, position, record],
    );
    for (const { line } of rows) yield line;
    const last = rows.at(-1);
    if (!last) return;
    ({ seq, position } = last);
  }
}
