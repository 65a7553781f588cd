-- Who may do what: accounts, groups, the relationships that authorization is decided from, and the audit.

create table account (
  actor bigint primary key references actor,
  username text not null unique check (username ~ '^[a-z0-9][a-z0-9._@+-]{0,99}$'),
  display_name text not null default '' check (length(display_name) <= 200),
  email text check (length(email) <= 320),
  password text check (length(password) <= 500),
  password_must_change boolean not null default false,
  password_set_at timestamptz,
  oidc_issuer text,
  oidc_subject text,
  disabled_at timestamptz,
  created_by bigint not null references actor,
  created_at timestamptz not null default now(),
  version bigint not null default 1,
  unique (oidc_issuer, oidc_subject),
  check ((oidc_issuer is null) = (oidc_subject is null))
);
comment on table account is 'People. The number is that of their actor, so that history names them for ever; they are disabled, never deleted.';
comment on column account.password is 'PHC string of argon2id; null: this account has no password.';

create table user_group (
  user_group bigint generated always as identity primary key,
  name text not null unique check (name ~ '^[a-z0-9][a-z0-9._-]{0,99}$'),
  description text not null default '' check (length(description) <= 1000),
  created_by bigint not null references actor,
  created_at timestamptz not null default now(),
  version bigint not null default 1
);
comment on table user_group is 'Who is in it stands in relationship, as every membership does.';

create table relationship (
  resource_type text not null,
  resource_id text not null,
  relation text not null,
  subject_type text not null,
  subject_id text not null,
  subject_relation text not null default '',
  created_by bigint not null references actor,
  created_at timestamptz not null default now(),
  primary key (resource_type, resource_id, relation, subject_type, subject_id, subject_relation)
);
create index relationship_by_subject on relationship (subject_type, subject_id);
comment on table relationship is 'The one truth of memberships, roles and shares; the authorization engine holds a copy.';

create table relationship_change (
  change bigint primary key,
  op text not null check (op in ('touch', 'delete')),
  resource_type text not null,
  resource_id text not null,
  relation text not null,
  subject_type text not null,
  subject_id text not null,
  subject_relation text not null,
  actor bigint not null references actor,
  at timestamptz not null default now()
);
comment on table relationship_change is 'What became of relationship, in the order of the commits: applied to the authorization engine in this order.';

create table relationship_state (
  one boolean primary key default true check (one),
  head bigint not null default 0,
  applied bigint not null default 0 check (applied <= head),
  revision text not null default '',
  engine text not null default ''
);
insert into relationship_state default values;
comment on table relationship_state is 'Its row lock orders writers. applied and revision: how far the authorization server named by engine is.';

-- One call in any transaction. The row lock makes the numbers rise in the order of the commits: who reads up to the head
-- has missed nothing. Returns the number of the last change, 0 when everything was so already.
create function relationship_write(p_op text[], p_resource_type text[], p_resource_id text[], p_relation text[],
  p_subject_type text[], p_subject_id text[], p_subject_relation text[], p_actor bigint) returns bigint
language plpgsql as $$
declare
  v_head bigint;
  v_changed bigint := 0;
  v_found integer;
begin
  select head into v_head from relationship_state for update;
  for i in 1 .. coalesce(array_length(p_op, 1), 0) loop
    if p_op[i] = 'touch' then
      insert into relationship (resource_type, resource_id, relation, subject_type, subject_id, subject_relation, created_by)
      values (p_resource_type[i], p_resource_id[i], p_relation[i], p_subject_type[i], p_subject_id[i], p_subject_relation[i], p_actor)
      on conflict do nothing;
    else
      delete from relationship
      where resource_type = p_resource_type[i] and resource_id = p_resource_id[i] and relation = p_relation[i]
        and subject_type = p_subject_type[i] and subject_id = p_subject_id[i] and subject_relation = p_subject_relation[i];
    end if;
    get diagnostics v_found = row_count;
    if v_found > 0 then
      v_changed := v_changed + 1;
      insert into relationship_change (change, op, resource_type, resource_id, relation, subject_type, subject_id, subject_relation, actor)
      values (v_head + v_changed, p_op[i], p_resource_type[i], p_resource_id[i], p_relation[i], p_subject_type[i],
        p_subject_id[i], p_subject_relation[i], p_actor);
    end if;
  end loop;
  if v_changed = 0 then
    return 0;
  end if;
  update relationship_state set head = v_head + v_changed;
  return v_head + v_changed;
end $$;

create table audit (
  entry bigint generated always as identity primary key,
  xact xid8 not null default pg_current_xact_id(),
  at timestamptz not null default clock_timestamp(),
  actor bigint not null,
  via text not null,
  address text,
  request text,
  action text not null,
  resource_type text,
  resource_id text,
  project bigint,
  outcome text not null check (outcome in ('done', 'refused')),
  code text,
  before jsonb,
  after jsonb
);
create index audit_by_resource on audit (resource_type, resource_id, entry);
create index audit_by_actor on audit (actor, entry);
comment on table audit is 'Append-only. A change stands here by its own transaction, a refusal by one of its own.';
comment on column audit.xact is 'Orders the entries for sealing: everything below the oldest running transaction is final.';

create function audit_refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'the audit is append-only' using errcode = 'restrict_violation';
end $$;
create trigger audit_append_only before update or delete on audit for each row execute function audit_refuse_change();
create trigger audit_no_truncate before truncate on audit for each statement execute function audit_refuse_change();

-- Submits and decisions are made durable by journal_append: their entries are made in its transaction, by whatever program.
create function audit_submits() returns trigger language plpgsql as $$
begin
  insert into audit (actor, via, action, resource_type, resource_id, project, outcome, after)
  select actor, 'journal', 'experiment.submit', 'experiment', experiment::text, project, 'done',
    jsonb_build_object('name', name, 'tasks', tasks, 'priority', priority)
  from made;
  return null;
end $$;
create trigger audit_submits after insert on experiment
  referencing new table as made for each statement execute function audit_submits();

create function audit_decisions() returns trigger language plpgsql as $$
begin
  insert into audit (actor, via, action, resource_type, resource_id, outcome, after)
  select actor, 'journal', 'experiment.' || kind, 'experiment', experiment::text, 'done',
    jsonb_build_object('reason', reason, 'scope', scope, 'value', value)
  from made where actor <> 0;
  return null;
end $$;
create trigger audit_decisions after insert on decision
  referencing new table as made for each statement execute function audit_decisions();

-- The holder of the operator's token, and what there is already.
insert into relationship (resource_type, resource_id, relation, subject_type, subject_id, created_by)
select 'platform', 'main', 'administrator', 'user', '1', 0
union all select 'project', project::text, 'platform', 'platform', 'main', 0 from project
union all select 'agent', agent::text, 'platform', 'platform', 'main', 0 from agent where revoked_at is null
union all select 'agent', agent::text, 'project', 'project', project::text, 0 from agent where revoked_at is null and not any_project
union all select 'enrolment_token', token::text, 'platform', 'platform', 'main', 0 from enrolment_token
union all select 'enrolment_token', token::text, 'project', 'project', project::text, 0 from enrolment_token where not any_project;
insert into relationship_change (change, op, resource_type, resource_id, relation, subject_type, subject_id, subject_relation, actor)
select row_number() over (), 'touch', resource_type, resource_id, relation, subject_type, subject_id, subject_relation, 0 from relationship;
update relationship_state set head = (select count(*) from relationship_change);
