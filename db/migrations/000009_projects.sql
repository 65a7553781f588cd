-- Fair share and limits of projects, what they used, and which agents serve only one of them.

alter table project
  add column weight double precision not null default 1 check (weight > 0 and weight <= 1e6),
  add column max_running_tasks integer check (max_running_tasks >= 0),
  add column max_cpus double precision check (max_cpus >= 0),
  add column max_cpu_hours double precision check (max_cpu_hours >= 0),
  add column period_seconds bigint not null default 2592000 check (period_seconds between 3600 and 31622400),
  add column period_from timestamptz not null default now(),
  add column version bigint not null default 1;
comment on column project.max_running_tasks is 'Null: no limit, as for the other two.';
comment on column project.max_cpu_hours is 'Per period of period_seconds, counted from period_from.';
comment on column project.version is 'Grows with each change.';

create table project_usage (
  shard integer not null,
  project bigint not null references project,
  seq bigint not null,
  at timestamptz not null,
  usage double precision not null check (usage >= 0),
  recent double precision not null check (recent >= 0),
  period_began timestamptz not null,
  period_used double precision not null check (period_used >= 0),
  primary key (shard, project)
) with (fillfactor = 50);
comment on table project_usage is 'Cpu-seconds as of a checkpoint, written with it: usage and recent decay, period_used counts since period_began.';

-- Agents of before served the one project there was and every one that came; those enrolled from now on say.
alter table agent add column any_project boolean not null default true;
alter table agent alter column any_project set default false;
alter table enrolment_token add column any_project boolean not null default true;
alter table enrolment_token alter column any_project set default false;
comment on column agent.any_project is 'It serves all projects of this coordinator: they share one trust domain.';
