-- Where submits and decisions came from: told beside the append, in the order of its records, by a program that knows.

create function audit_origin(p_of text, p_position integer) returns jsonb language sql stable as $$
  select coalesce(nullif(current_setting('airavata.origins', true), '')::jsonb -> p_of -> p_position, '{}')
$$;

create or replace function audit_submits() returns trigger language plpgsql as $$
begin
  insert into audit (actor, via, address, request, action, resource_type, resource_id, project, outcome, after)
  select made.actor, coalesce(o.origin ->> 'via', 'journal'), o.origin ->> 'address', o.origin ->> 'request',
    'experiment.submit', 'experiment', made.experiment::text, made.project, 'done',
    jsonb_build_object('name', made.name, 'tasks', made.tasks, 'priority', made.priority)
  from made cross join lateral (select audit_origin('submits', made.position)) o(origin);
  return null;
end $$;

create or replace function audit_decisions() returns trigger language plpgsql as $$
begin
  insert into audit (actor, via, address, request, action, resource_type, resource_id, project, outcome, after)
  select made.actor, coalesce(o.origin ->> 'via', 'journal'), o.origin ->> 'address', o.origin ->> 'request',
    'experiment.' || made.kind, 'experiment', made.experiment::text, x.project, 'done',
    jsonb_build_object('reason', made.reason, 'scope', made.scope, 'value', made.value)
  from made left join experiment x on x.shard = made.shard and x.experiment = made.experiment
    cross join lateral (select audit_origin('decisions', made.position)) o(origin)
  where made.actor <> 0;
  return null;
end $$;
