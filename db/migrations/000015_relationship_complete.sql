-- Projects, agents and enrolment tokens that a program of before relationships makes beside this one get theirs.

create function relationship_complete() returns bigint language sql as $$
  with wanted as (
    select 'project' as resource_type, project::text as resource_id, 'platform' as relation, 'platform' as subject_type,
      'main' as subject_id from project
    union all select 'agent', agent::text, 'platform', 'platform', 'main' from agent where revoked_at is null
    union all select 'agent', agent::text, 'project', 'project', project::text from agent where revoked_at is null and not any_project
    union all select 'enrolment_token', token::text, 'platform', 'platform', 'main' from enrolment_token where revoked_at is null
    union all select 'enrolment_token', token::text, 'project', 'project', project::text from enrolment_token
      where revoked_at is null and not any_project
  ), missing as (
    select w.* from wanted w where not exists (
      select from relationship r where r.resource_type = w.resource_type and r.resource_id = w.resource_id
        and r.relation = w.relation and r.subject_type = w.subject_type and r.subject_id = w.subject_id)
  )
  select case when count(*) = 0 then 0 else relationship_write(
    array_agg('touch'::text), array_agg(resource_type), array_agg(resource_id), array_agg(relation), array_agg(subject_type),
    array_agg(subject_id), array_agg(''::text), 0) end from missing
$$;
