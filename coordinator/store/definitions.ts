/** Definitions of experiments put together from their header and their templates. */
import type { Connection } from "../../db/connection.ts";
import type { ExperimentDefinition, TemplateDefinition } from "../../shared/model/definition.ts";
import type { ExperimentId } from "../../shared/model/ids.ts";

export interface DefinitionRow {
  experiment: ExperimentId;
  seq: number;
  project: number;
  actor: number;
  submittedAt: Date;
  definition: ExperimentDefinition;
  spec: string;
  key: string | null;
  bodyHash: string | null;
}

type Row = Omit<DefinitionRow, "definition"> & { header: string };

const QUERY_TIMEOUT_MS = 60_000;

/** Of the rows of table `experiment` that `where` (with `$n` for `values`) chooses, in the order they were submitted. */
export async function definitionsBySeq(
  connection: Connection,
  where: string,
  values: readonly unknown[],
): Promise<DefinitionRow[]> {
  const rows = await connection.rows<Row>(
    `select x.experiment, x.seq, x.project, x.actor, x.submitted_at as "submittedAt", s.header, s.spec,
       i.key, i.body_hash as "bodyHash"
     from (select * from experiment ${where}) x
       join experiment_source s on s.shard = x.shard and s.experiment = x.experiment
       left join idempotency i on i.shard = x.shard and i.experiment = x.experiment and i.actor = x.actor
     order by x.seq, x.position`,
    [...values],
    QUERY_TIMEOUT_MS,
  );
  const templates = await connection.rows<{ experiment: number; definition: string }>(
    `select t.experiment, t.definition
     from (select shard, experiment from experiment ${where}) x
       join template t on t.shard = x.shard and t.experiment = x.experiment
     order by t.experiment, t.template`,
    [...values],
    QUERY_TIMEOUT_MS,
  );
  const byExperiment = new Map<number, TemplateDefinition[]>(rows.map((row) => [row.experiment, []]));
  for (const { experiment, definition } of templates) byExperiment.get(experiment)?.push(JSON.parse(definition));
  return rows.map(({ header, ...row }) => ({
    ...row,
    definition: { ...(JSON.parse(header) as ExperimentDefinition), templates: byExperiment.get(row.experiment) ?? [] },
  }));
}
