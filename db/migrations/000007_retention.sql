-- Retention: an ended experiment is archived, which leaves its row and its summary; partitions are dropped whole once
-- everything in them is archived. Partitions have ranges of any width, so that one holds about as much as another.

alter table experiment add column archived_at timestamptz;
alter table experiment add constraint experiment_archived_ended check (archived_at is null or state is not null);
comment on column experiment.archived_at is 'From then on the row cannot change, and all that stays beside it is the summary.';
create index experiment_to_archive on experiment (shard, ended_at) where archived_at is null and state is not null;
create index experiment_kept on experiment (shard, experiment) where archived_at is null;

-- Whoever raced with the archive, and whatever program it is: first come, first served. An append that is refused here
-- ends its reign, so the dispatcher refuses earlier, with a sentence.
create function refuse_archived() returns trigger language plpgsql as $$
begin
  raise exception 'experiment % was archived at %: nothing about it can change any more', old.experiment, old.archived_at
    using errcode = 'AV005';
end $$;
create trigger experiment_archived before update on experiment
  for each row when (old.archived_at is not null) execute function refuse_archived();

create table experiment_summary (
  experiment bigint not null,
  file_bytes bigint,
  shard integer not null,
  summary text not null,
  spec bytea not null,
  file text,
  file_sha256 text check (file_sha256 ~ '^[0-9a-f]{64}$'),
  primary key (shard, experiment),
  check ((file is null) = (file_sha256 is null) and (file is null) = (file_bytes is null))
);
comment on table experiment_summary is 'What stays of an archived experiment, with its row in experiment; written in the same transaction as archived_at.';
comment on column experiment_summary.summary is 'JSON, see docs/retention.md.';
comment on column experiment_summary.spec is 'The file as it was sent, gzip.';
comment on column experiment_summary.file is 'Where the archive of its tasks and attempts was written; null when none was asked for.';

-- The partitions as the catalogue has them: experiments [low, high). `detaching`: a detach was begun and not finished.
create view journal_partition as
select p.relname as parent, c.relname as partition, i.inhdetachpending as detaching,
  (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''?(\d+)''?\)'))[1]::bigint as low,
  (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(\d+)''?\)'))[1]::bigint as high
from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
where p.relnamespace = 'public'::regnamespace and c.relkind = 'r'
  and p.relname in ('experiment_source', 'template', 'lease', 'attempt_end', 'checkpoint_experiment', 'checkpoint_chunk');

-- Sees to it that every experiment up to `p_experiment` has its partition: what is missing is covered by one more, from
-- the end of the last, `p_width` wide or as wide as it takes. Returns the end of the last. Filled and checked beside the
-- parent and attached under a lock that lets appends go on.
create function extend_partitions(p_experiment bigint, p_width bigint) returns bigint language plpgsql as $$
declare
  parent text;
  child text;
  covered bigint;
  target bigint;
begin
  perform pg_advisory_xact_lock(7304004, 0);
  select coalesce(max(high), 0) into covered from journal_partition;
  if covered > p_experiment then
    return covered;
  end if;
  target := greatest(covered + p_width, p_experiment + 1);
  foreach parent in array array['experiment_source', 'template', 'lease', 'attempt_end', 'checkpoint_experiment', 'checkpoint_chunk'] loop
    child := parent || '_p' || covered;
    execute format('create table %I (like %I including all)', child, parent);
    execute format('alter table %I attach partition %I for values from (%s) to (%s)', parent, child, covered, target);
  end loop;
  return target;
end $$;

-- What an older program calls, which counts in ranges of `p_size`: afterwards the range with this number is covered.
create or replace function create_partition(p_number bigint, p_size bigint) returns void language plpgsql as $$
begin
  perform extend_partitions((p_number + 1) * p_size - 1, 1);
end $$;
