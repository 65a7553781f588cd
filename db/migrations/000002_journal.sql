-- The journal: the one ordered record of what the dispatcher decided, a row per batch and not per task.
--
-- Columns of a batch (attempts, outcomes, …) are arrays beside `indexes` and come in three forms: null when every
-- position has the default, one element when every position has that value, else one element per position. So
-- `coalesce(c[i], c[1], default)` reads position i of any of them. journal_append checks their lengths once for all
-- records: as constraints of each row they would double the time of a small append.

create table leadership (
  shard integer primary key,
  timeline integer not null default 1 check (timeline > 0),
  term bigint not null default 0 check (term >= 0),
  holder text not null default '',
  address text not null default '',
  journal_pids integer[] not null default '{}',
  taken_at timestamptz
);
comment on table leadership is 'Who dispatches. Changed only under the exclusive append lock, checked by every append under the shared one.';

-- Apart from leadership: it is updated every two seconds, and under a long snapshot its dead versions pile up; an append
-- would have to walk them.
create table leadership_renewal (
  shard integer primary key references leadership,
  term bigint not null default 0,
  expires_at timestamptz not null default to_timestamp(0)
);
insert into leadership (shard) values (0);
insert into leadership_renewal (shard) values (0);

create table journal (
  seq bigint not null check (seq > 0),
  term bigint not null check (term > 0),
  at timestamptz not null,
  shard integer not null,
  deltas bigint[] check (cardinality(deltas) % 6 = 0),
  primary key (shard, seq)
);
comment on column journal.deltas is 'Six numbers per experiment: experiment, leased, completed, failed, canceled, requeued.';

create table experiment (
  experiment bigint not null check (experiment > 0),
  seq bigint not null,
  project bigint not null references project,
  actor bigint not null references actor,
  submitted_at timestamptz not null,
  ended_at timestamptz,
  ended_seq bigint,
  tasks bigint not null check (tasks >= 0),
  completed bigint,
  failed bigint,
  canceled bigint,
  shard integer not null,
  position integer not null,
  priority integer not null,
  paused boolean not null default false,
  state text check (state in ('COMPLETED', 'FAILED', 'CANCELED')),
  name text not null,
  primary key (shard, experiment),
  check ((state is null) = (ended_seq is null) and (state is null) = (ended_at is null))
);
create index experiment_by_project on experiment (project, experiment);
create index experiment_by_seq on experiment (shard, seq);
create index experiment_by_end on experiment (shard, ended_seq);
comment on column experiment.state is 'Null while it is unfinished: then the dispatcher knows.';

create table experiment_source (
  shard integer not null,
  experiment bigint not null,
  header text not null,
  spec text not null,
  primary key (shard, experiment)
) partition by range (experiment);
comment on column experiment_source.header is 'The definition without its templates, JSON.';
comment on column experiment_source.spec is 'The file as it was sent.';

create table template (
  shard integer not null,
  template integer not null check (template >= 0),
  experiment bigint not null,
  tasks bigint not null check (tasks > 0),
  name text not null,
  definition text not null,
  primary key (shard, experiment, template)
) partition by range (experiment);
comment on column template.definition is 'JSON; parameters are ranges and lists, decoded from the index.';

create table idempotency (
  shard integer not null,
  actor bigint not null,
  key text not null,
  body_hash text not null,
  experiment bigint not null,
  created_at timestamptz not null,
  primary key (shard, actor, key)
);
create index idempotency_by_age on idempotency (shard, created_at);
create index idempotency_by_experiment on idempotency (shard, experiment);

create table lease (
  seq bigint not null,
  experiment bigint not null,
  agent bigint not null,
  epoch bigint not null,
  shard integer not null,
  position integer not null,
  template integer not null,
  index_low integer not null check (index_low >= 0),
  index_high integer not null,
  root text not null,
  indexes integer[] not null check (cardinality(indexes) > 0),
  attempts integer[],
  primary key (shard, seq, position, experiment),
  check (index_high >= index_low)
) partition by range (experiment);
create index lease_by_task on lease (shard, experiment, template, index_low, index_high);
comment on column lease.position is 'Place of the record in its batch.';

create table attempt_end (
  seq bigint not null,
  experiment bigint not null,
  shard integer not null,
  position integer not null,
  template integer not null,
  index_low integer not null check (index_low >= 0),
  index_high integer not null,
  indexes integer[] not null check (cardinality(indexes) > 0),
  attempts integer[],
  agents bigint[] not null,
  dispositions smallint[],
  outcomes smallint[],
  blames smallint[],
  charges smallint[],
  exit_codes integer[],
  signals smallint[],
  not_before_ms bigint[],
  started_at_ms bigint[],
  ended_at_ms bigint[],
  cpu_ms bigint[],
  memory_max_bytes bigint[],
  tails jsonb,
  details jsonb,
  primary key (shard, seq, position, experiment),
  check (index_high >= index_low)
) partition by range (experiment);
create index attempt_end_by_task on attempt_end (shard, experiment, template, index_low, index_high);
-- Batches in which something did not complete; most rows are not in it.
create index attempt_end_not_completed on attempt_end (shard, experiment, seq, position) where outcomes is not null;
comment on column attempt_end.outcomes is 'Codes of shared/model/attempt.ts, as dispositions, blames and charges are; default 0.';
comment on column attempt_end.tails is 'Last error output by place in `indexes`, from 0.';

create table decision (
  seq bigint not null,
  experiment bigint not null,
  actor bigint not null,
  completed bigint,
  failed bigint,
  canceled bigint,
  shard integer not null,
  position integer not null,
  kind text not null check (kind in ('cancel', 'pause', 'resume', 'priority', 'retry', 'ended')),
  reason text not null,
  scope jsonb,
  value jsonb,
  primary key (shard, seq, position)
);
create index decision_by_experiment on decision (shard, experiment, seq);
comment on column decision.completed is 'Only of `ended`: how its tasks ended, with failed and canceled.';

create table checkpoint (
  shard integer not null,
  seq bigint not null,
  term bigint not null,
  at timestamptz not null default clock_timestamp(),
  primary key (shard, seq)
);
comment on table checkpoint is 'Written last in its transaction: rows of the two tables below count from here on.';

create table checkpoint_experiment (
  shard integer not null,
  experiment bigint not null,
  seq bigint not null,
  data bytea not null,
  primary key (shard, experiment, seq)
) partition by range (experiment);

create table checkpoint_chunk (
  shard integer not null,
  template integer not null,
  chunk integer not null,
  experiment bigint not null,
  seq bigint not null,
  data bytea not null,
  primary key (shard, experiment, template, chunk, seq)
) partition by range (experiment);
comment on table checkpoint_chunk is 'Up to 4,096 tasks, folded. The newest two of each chunk are kept.';

-- lz4 compresses three to five times as fast as the default. Not every build has it (the embedded one has not): there
-- indexes and times, which compress worst, stay as they are, for the default would cost a third of the journal's rate.
create function prefer_fast_storage(p_relation regclass) returns void language plpgsql as $$
declare
  wide name;
begin
  for wide in
    select attname from pg_attribute
    where attrelid = p_relation and attnum > 0 and not attisdropped and attstorage in ('x', 'm')
  loop
    begin
      execute format('alter table %s alter column %I set compression lz4', p_relation, wide);
    exception when feature_not_supported then
      if wide = 'indexes' or wide like '%\_at\_ms' then
        execute format('alter table %s alter column %I set storage external', p_relation, wide);
      end if;
    end;
  end loop;
end $$;

select prefer_fast_storage('experiment_source'), prefer_fast_storage('template'), prefer_fast_storage('lease'),
  prefer_fast_storage('attempt_end'), prefer_fast_storage('checkpoint_experiment'), prefer_fast_storage('checkpoint_chunk');

-- Partition `number` of every partitioned table: experiments [number × size, (number + 1) × size). Filled and checked
-- beside the parent and attached under a lock that lets appends go on.
create function create_partition(p_number bigint, p_size bigint) returns void language plpgsql as $$
declare
  parent text;
  child text;
begin
  perform pg_advisory_xact_lock(7304004, 0);
  foreach parent in array array['experiment_source', 'template', 'lease', 'attempt_end', 'checkpoint_experiment', 'checkpoint_chunk'] loop
    child := parent || '_p' || p_number;
    continue when to_regclass(child) is not null;
    execute format('create table %I (like %I including all)', child, parent);
    execute format('alter table %I attach partition %I for values from (%s) to (%s)', parent, child,
      p_number * p_size, (p_number + 1) * p_size);
  end loop;
end $$;
