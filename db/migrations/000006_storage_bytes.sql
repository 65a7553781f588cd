-- What attempts read from storage and wrote there. Most do neither, and then there is no column: an append of theirs costs
-- what it cost before. The older program's call goes on to mean what it meant: it goes through the new one.

alter table attempt_end add column read_bytes bigint[], add column written_bytes bigint[];
select prefer_fast_storage('attempt_end');
comment on column attempt_end.read_bytes is 'From storage: what the page cache answered is not in it.';

create function journal_append(
  p_shard integer, p_term bigint, p_seq bigint, p_at timestamptz, p_deltas bigint[],
  s_experiments bigint[], s_projects bigint[], s_actors bigint[], s_names text[], s_priorities integer[],
  s_tasks bigint[], s_headers text[], s_specs text[], s_keys text[], s_body_hashes text[],
  t_experiments bigint[], t_templates integer[], t_names text[], t_tasks bigint[], t_definitions text[],
  l_experiments bigint[], l_templates integer[], l_agents bigint[], l_epochs bigint[], l_roots text[],
  l_lows integer[], l_highs integer[], l_firsts integer[], l_lasts integer[],
  l_indexes integer[], l_attempts integer[],
  e_experiments bigint[], e_templates integer[], e_lows integer[], e_highs integer[], e_firsts integer[],
  e_lasts integer[], e_indexes integer[], e_attempts integer[], e_agents bigint[], e_dispositions smallint[],
  e_outcomes smallint[], e_blames smallint[], e_charges smallint[], e_exit_codes integer[], e_signals smallint[],
  e_not_before_ms bigint[], e_started_at_ms bigint[], e_ended_at_ms bigint[], e_cpu_ms bigint[],
  e_memory_max_bytes bigint[], e_tails text[], e_details text[],
  d_kinds text[], d_experiments bigint[], d_actors bigint[], d_reasons text[], d_scopes text[], d_values text[],
  d_completed bigint[], d_failed bigint[], d_canceled bigint[],
  e_read_bytes bigint[], e_written_bytes bigint[]
) returns void language plpgsql volatile as $$
declare
  current_term bigint;
  last_seq bigint;
  affected bigint;
begin
  perform pg_advisory_xact_lock_shared(7304001, p_shard);

  insert into journal (shard, seq, term, at, deltas)
  select p_shard, p_seq, p_term, p_at, p_deltas from leadership
  where leadership.shard = p_shard and leadership.term = p_term
    and p_seq = 1 + coalesce((select max(j.seq) from journal j where j.shard = p_shard), 0);
  if not found then
    select l.term into current_term from leadership l where l.shard = p_shard;
    if current_term is distinct from p_term then
      raise exception 'term % of shard % is over: term % reigns', p_term, p_shard, coalesce(current_term, 0)
        using errcode = 'AV001';
    end if;
    select coalesce(max(j.seq), 0) into last_seq from journal j where j.shard = p_shard;
    raise exception 'seq % cannot follow seq % of shard %', p_seq, last_seq, p_shard using errcode = 'AV002';
  end if;

  if s_experiments is not null then
    insert into experiment (shard, experiment, seq, position, project, actor, name, priority, tasks, submitted_at)
    select p_shard, r.experiment, p_seq, r.n - 1, r.project, r.actor, r.name, r.priority, r.tasks, p_at
    from unnest(s_experiments, s_projects, s_actors, s_names, s_priorities, s_tasks)
      with ordinality as r(experiment, project, actor, name, priority, tasks, n);

    insert into experiment_source (shard, experiment, header, spec)
    select p_shard, r.experiment, r.header, r.spec
    from unnest(s_experiments, s_headers, s_specs) as r(experiment, header, spec);

    insert into template (shard, experiment, template, name, tasks, definition)
    select p_shard, r.experiment, r.template, r.name, r.tasks, r.definition
    from unnest(t_experiments, t_templates, t_names, t_tasks, t_definitions)
      as r(experiment, template, name, tasks, definition);

    if s_keys is not null then
      -- A key is free again after a day; within it a second use is a broken promise of the dispatcher.
      insert into idempotency as i (shard, actor, key, body_hash, experiment, created_at)
      select p_shard, r.actor, r.key, r.body_hash, r.experiment, p_at
      from unnest(s_experiments, s_actors, s_keys, s_body_hashes) as r(experiment, actor, key, body_hash)
      where r.key is not null
      on conflict (shard, actor, key) do update
        set body_hash = excluded.body_hash, experiment = excluded.experiment, created_at = excluded.created_at
        where i.created_at <= p_at - interval '24 hours';
      get diagnostics affected = row_count;
      if affected <> cardinality(array_remove(s_keys, null)) then
        raise exception 'an idempotency key of batch % was used within 24 hours', p_seq using errcode = 'AV003';
      end if;
    end if;
  end if;

  if l_experiments is not null then
    if cardinality(l_indexes) <> nullif(cardinality(l_attempts), 1) then
      raise exception 'the leases of batch % have columns of different lengths', p_seq using errcode = 'AV004';
    end if;
    insert into lease (shard, seq, position, experiment, template, agent, epoch, root, index_low, index_high, indexes, attempts)
    select p_shard, p_seq, r.n - 1, r.experiment, r.template, r.agent, r.epoch, r.root, r.low, r.high,
      l_indexes[r.first:r.last], column_slice(l_attempts, r.first, r.last)
    from unnest(l_experiments, l_templates, l_agents, l_epochs, l_roots, l_lows, l_highs, l_firsts, l_lasts)
      with ordinality as r(experiment, template, agent, epoch, root, low, high, first, last, n);
  end if;

  if e_experiments is not null then
    if cardinality(e_indexes) <> any (array_remove(array[
      nullif(cardinality(e_attempts), 1), nullif(cardinality(e_agents), 1), nullif(cardinality(e_dispositions), 1),
      nullif(cardinality(e_outcomes), 1), nullif(cardinality(e_blames), 1), nullif(cardinality(e_charges), 1),
      nullif(cardinality(e_exit_codes), 1), nullif(cardinality(e_signals), 1), nullif(cardinality(e_not_before_ms), 1),
      nullif(cardinality(e_started_at_ms), 1), nullif(cardinality(e_ended_at_ms), 1), nullif(cardinality(e_cpu_ms), 1),
      nullif(cardinality(e_memory_max_bytes), 1), nullif(cardinality(e_read_bytes), 1),
      nullif(cardinality(e_written_bytes), 1)], null)) then
      raise exception 'the ends of batch % have columns of different lengths', p_seq using errcode = 'AV004';
    end if;
    insert into attempt_end (shard, seq, position, experiment, template, index_low, index_high, indexes, attempts, agents,
      dispositions, outcomes, blames, charges, exit_codes, signals, not_before_ms, started_at_ms, ended_at_ms, cpu_ms,
      memory_max_bytes, read_bytes, written_bytes, tails, details)
    select p_shard, p_seq, r.n - 1, r.experiment, r.template, r.low, r.high,
      e_indexes[r.first:r.last], column_slice(e_attempts, r.first, r.last), column_slice(e_agents, r.first, r.last),
      column_slice(e_dispositions, r.first, r.last), column_slice(e_outcomes, r.first, r.last),
      column_slice(e_blames, r.first, r.last), column_slice(e_charges, r.first, r.last),
      column_slice(e_exit_codes, r.first, r.last), column_slice(e_signals, r.first, r.last),
      column_slice(e_not_before_ms, r.first, r.last), column_slice(e_started_at_ms, r.first, r.last),
      column_slice(e_ended_at_ms, r.first, r.last), column_slice(e_cpu_ms, r.first, r.last),
      column_slice(e_memory_max_bytes, r.first, r.last), column_slice(e_read_bytes, r.first, r.last),
      column_slice(e_written_bytes, r.first, r.last), e_tails[r.n]::jsonb, e_details[r.n]::jsonb
    from unnest(e_experiments, e_templates, e_lows, e_highs, e_firsts, e_lasts)
      with ordinality as r(experiment, template, low, high, first, last, n);
  end if;

  if d_kinds is not null then
    insert into decision (shard, seq, position, kind, experiment, actor, reason, scope, value, completed, failed, canceled)
    select p_shard, p_seq, r.n - 1, r.kind, r.experiment, r.actor, r.reason, r.scope::jsonb, r.value::jsonb,
      r.completed, r.failed, r.canceled
    from unnest(d_kinds, d_experiments, d_actors, d_reasons, d_scopes, d_values, d_completed, d_failed, d_canceled)
      with ordinality as r(kind, experiment, actor, reason, scope, value, completed, failed, canceled, n);

    -- The summary row follows the last word that the batch has on each experiment.
    update experiment x
    set state = case r.kind when 'ended' then r.value::jsonb #>> '{}' end,
      ended_at = case r.kind when 'ended' then p_at end,
      ended_seq = case r.kind when 'ended' then p_seq end,
      completed = r.completed, failed = r.failed, canceled = r.canceled
    from (select distinct on (d.experiment) d.* from unnest(d_kinds, d_experiments, d_values, d_completed, d_failed, d_canceled)
        with ordinality as d(kind, experiment, value, completed, failed, canceled, n)
      where d.kind in ('ended', 'retry') order by d.experiment, d.n desc) r
    where x.shard = p_shard and x.experiment = r.experiment;

    if 'pause' = any(d_kinds) or 'resume' = any(d_kinds) then
      update experiment x set paused = r.kind = 'pause'
      from (select distinct on (d.experiment) d.* from unnest(d_kinds, d_experiments) with ordinality as d(kind, experiment, n)
        where d.kind in ('pause', 'resume') order by d.experiment, d.n desc) r
      where x.shard = p_shard and x.experiment = r.experiment;
    end if;

    if 'priority' = any(d_kinds) then
      update experiment x set priority = r.value::integer
      from (select distinct on (d.experiment) d.* from unnest(d_kinds, d_experiments, d_values)
          with ordinality as d(kind, experiment, value, n)
        where d.kind = 'priority' order by d.experiment, d.n desc) r
      where x.shard = p_shard and x.experiment = r.experiment;
    end if;
  end if;
end $$;

create or replace function journal_append(
  p_shard integer, p_term bigint, p_seq bigint, p_at timestamptz, p_deltas bigint[],
  s_experiments bigint[], s_projects bigint[], s_actors bigint[], s_names text[], s_priorities integer[],
  s_tasks bigint[], s_headers text[], s_specs text[], s_keys text[], s_body_hashes text[],
  t_experiments bigint[], t_templates integer[], t_names text[], t_tasks bigint[], t_definitions text[],
  l_experiments bigint[], l_templates integer[], l_agents bigint[], l_epochs bigint[], l_roots text[],
  l_lows integer[], l_highs integer[], l_firsts integer[], l_lasts integer[],
  l_indexes integer[], l_attempts integer[],
  e_experiments bigint[], e_templates integer[], e_lows integer[], e_highs integer[], e_firsts integer[],
  e_lasts integer[], e_indexes integer[], e_attempts integer[], e_agents bigint[], e_dispositions smallint[],
  e_outcomes smallint[], e_blames smallint[], e_charges smallint[], e_exit_codes integer[], e_signals smallint[],
  e_not_before_ms bigint[], e_started_at_ms bigint[], e_ended_at_ms bigint[], e_cpu_ms bigint[],
  e_memory_max_bytes bigint[], e_tails text[], e_details text[],
  d_kinds text[], d_experiments bigint[], d_actors bigint[], d_reasons text[], d_scopes text[], d_values text[],
  d_completed bigint[], d_failed bigint[], d_canceled bigint[]
) returns void language plpgsql volatile as $$
begin
  perform journal_append(
    p_shard, p_term, p_seq, p_at, p_deltas, s_experiments, s_projects, s_actors, s_names, s_priorities, s_tasks,
    s_headers, s_specs, s_keys, s_body_hashes, t_experiments, t_templates, t_names, t_tasks, t_definitions,
    l_experiments, l_templates, l_agents, l_epochs, l_roots, l_lows, l_highs, l_firsts, l_lasts, l_indexes,
    l_attempts, e_experiments, e_templates, e_lows, e_highs, e_firsts, e_lasts, e_indexes, e_attempts, e_agents,
    e_dispositions, e_outcomes, e_blames, e_charges, e_exit_codes, e_signals, e_not_before_ms, e_started_at_ms,
    e_ended_at_ms, e_cpu_ms, e_memory_max_bytes, e_tails, e_details, d_kinds, d_experiments, d_actors, d_reasons,
    d_scopes, d_values, d_completed, d_failed, d_canceled, null, null);
end $$;

create or replace view attempt_ended as
select distinct on (e.shard, e.experiment, e.template, i.index, i.attempt)
  e.shard, e.experiment, e.template, i.index, i.attempt, e.seq, i.agent,
  (array['FINAL', 'REQUEUE'])[i.disposition + 1] as disposition,
  (array['COMPLETED', 'FAILED', 'CANCELED', 'LOST', 'RELEASED'])[i.outcome + 1] as outcome,
  (array['none', 'exit', 'signal', 'timeout', 'oom', 'spawn', 'output', 'disk', 'runner_lost', 'agent_lost', 'not_held',
    'canceled', 'allocation', 'released', 'agent'])[i.blame + 1] as blame,
  (array['none', 'user', 'infrastructure'])[i.charge + 1] as charged_to,
  nullif(i.exit_code, -1) as exit_code, nullif(i.signal, 0) as signal,
  to_timestamp(nullif(i.not_before_ms, 0) / 1000.0) as not_before,
  to_timestamp(nullif(i.started_at_ms, 0) / 1000.0) as started_at,
  to_timestamp(nullif(i.ended_at_ms, 0) / 1000.0) as ended_at,
  i.cpu_ms, i.memory_max_bytes, i.error_tail, i.detail, i.read_bytes, i.written_bytes
from attempt_end e cross join lateral (
  select x.n, x.index, coalesce(e.attempts[x.n], e.attempts[1], 1) as attempt,
    coalesce(e.agents[x.n], e.agents[1]) as agent,
    coalesce(e.dispositions[x.n], e.dispositions[1], 0) as disposition,
    coalesce(e.outcomes[x.n], e.outcomes[1], 0) as outcome,
    coalesce(e.blames[x.n], e.blames[1], 0) as blame,
    coalesce(e.charges[x.n], e.charges[1], 0) as charge,
    coalesce(e.exit_codes[x.n], e.exit_codes[1], 0) as exit_code,
    coalesce(e.signals[x.n], e.signals[1], 0) as signal,
    coalesce(e.not_before_ms[x.n], e.not_before_ms[1], 0) as not_before_ms,
    coalesce(e.started_at_ms[x.n], e.started_at_ms[1], 0) as started_at_ms,
    coalesce(e.ended_at_ms[x.n], e.ended_at_ms[1], 0) as ended_at_ms,
    coalesce(e.cpu_ms[x.n], e.cpu_ms[1], 0) as cpu_ms,
    coalesce(e.memory_max_bytes[x.n], e.memory_max_bytes[1], 0) as memory_max_bytes,
    e.tails ->> (x.n - 1)::text as error_tail, e.details ->> (x.n - 1)::text as detail,
    coalesce(e.read_bytes[x.n], e.read_bytes[1], 0) as read_bytes,
    coalesce(e.written_bytes[x.n], e.written_bytes[1], 0) as written_bytes
  from unnest(e.indexes) with ordinality as x(index, n)
) i
order by e.shard, e.experiment, e.template, i.index, i.attempt, i.disposition, e.seq desc, i.n desc;

create or replace view attempt as
select l.shard, l.experiment, l.template, t.name as template_name, x.index,
  coalesce(l.attempts[x.n], l.attempts[1], 1) as attempt, l.agent, a.name as agent_name, l.epoch, l.root,
  l.seq as leased_seq, j.at as leased_at, e.seq as ended_seq, k.at as recorded_at, e.disposition, e.outcome, e.blame,
  e.charged_to, e.exit_code, e.signal, e.started_at, e.ended_at, e.not_before, e.cpu_ms, e.memory_max_bytes,
  e.error_tail, e.detail, e.read_bytes, e.written_bytes
from lease l
  cross join lateral unnest(l.indexes) with ordinality as x(index, n)
  join journal j on j.shard = l.shard and j.seq = l.seq
  left join template t on t.shard = l.shard and t.experiment = l.experiment and t.template = l.template
  left join agent a on a.agent = l.agent
  left join attempt_ended e on e.shard = l.shard and e.experiment = l.experiment and e.template = l.template
    and e.index = x.index and e.attempt = coalesce(l.attempts[x.n], l.attempts[1], 1)
  left join journal k on k.shard = e.shard and k.seq = e.seq;
