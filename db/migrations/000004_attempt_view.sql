-- The journal's columns as one row per attempt, with names for people. An attempt that was given up as lost and whose
-- result came in after all has two ends: the FINAL one counts, else the newest.

create view attempt_ended as
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
  i.cpu_ms, i.memory_max_bytes, i.error_tail, i.detail
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
    e.tails ->> (x.n - 1)::text as error_tail, e.details ->> (x.n - 1)::text as detail
  from unnest(e.indexes) with ordinality as x(index, n)
) i
order by e.shard, e.experiment, e.template, i.index, i.attempt, i.disposition, e.seq desc, i.n desc;

create view attempt as
select l.shard, l.experiment, l.template, t.name as template_name, x.index,
  coalesce(l.attempts[x.n], l.attempts[1], 1) as attempt, l.agent, a.name as agent_name, l.epoch, l.root,
  l.seq as leased_seq, j.at as leased_at, e.seq as ended_seq, k.at as recorded_at, e.disposition, e.outcome, e.blame,
  e.charged_to, e.exit_code, e.signal, e.started_at, e.ended_at, e.not_before, e.cpu_ms, e.memory_max_bytes,
  e.error_tail, e.detail
from lease l
  cross join lateral unnest(l.indexes) with ordinality as x(index, n)
  join journal j on j.shard = l.shard and j.seq = l.seq
  left join template t on t.shard = l.shard and t.experiment = l.experiment and t.template = l.template
  left join agent a on a.agent = l.agent
  left join attempt_ended e on e.shard = l.shard and e.experiment = l.experiment and e.template = l.template
    and e.index = x.index and e.attempt = coalesce(l.attempts[x.n], l.attempts[1], 1)
  left join journal k on k.shard = e.shard and k.seq = e.seq;
comment on view attempt is 'One row per attempt, with what is known of its end.';
