-- One append of the journal: everything of a batch, or nothing. Volatile, so each statement has its own snapshot: an
-- append that waited for the lock while another coordinator took over sees the new term and is refused.
--
-- Of leases and ends come one element per record (experiments, templates, …, with first and last position of the
-- record) and the columns of all records one after the other; a column is null, one element or all, as in the tables.
-- Locks: (7304001, shard) is the append lock, shared here and exclusive in a takeover.

create function column_slice(p_column anyarray, p_first integer, p_last integer) returns anyarray
language sql immutable parallel safe as $$
  select case when cardinality(p_column) > 1 then p_column[p_first:p_last] else p_column end
$$;

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
  d_completed bigint[], d_failed bigint[], d_canceled bigint[]
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
      nullif(cardinality(e_memory_max_bytes), 1)], null)) then
      raise exception 'the ends of batch % have columns of different lengths', p_seq using errcode = 'AV004';
    end if;
    insert into attempt_end (shard, seq, position, experiment, template, index_low, index_high, indexes, attempts, agents,
      dispositions, outcomes, blames, charges, exit_codes, signals, not_before_ms, started_at_ms, ended_at_ms, cpu_ms,
      memory_max_bytes, tails, details)
    select p_shard, p_seq, r.n - 1, r.experiment, r.template, r.low, r.high,
      e_indexes[r.first:r.last], column_slice(e_attempts, r.first, r.last), column_slice(e_agents, r.first, r.last),
      column_slice(e_dispositions, r.first, r.last), column_slice(e_outcomes, r.first, r.last),
      column_slice(e_blames, r.first, r.last), column_slice(e_charges, r.first, r.last),
      column_slice(e_exit_codes, r.first, r.last), column_slice(e_signals, r.first, r.last),
      column_slice(e_not_before_ms, r.first, r.last), column_slice(e_started_at_ms, r.first, r.last),
      column_slice(e_ended_at_ms, r.first, r.last), column_slice(e_cpu_ms, r.first, r.last),
      column_slice(e_memory_max_bytes, r.first, r.last), e_tails[r.n]::jsonb, e_details[r.n]::jsonb
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
