-- Enrolment tokens that several agents may use, each use with its agent; and what agents did that their operator should know.

alter table enrolment_token add column uses_max integer not null default 1 check (uses_max between 1 and 10000);
comment on column enrolment_token.uses_max is 'Agents that it is good for. With the last use it gets used_at and agent, which close it for every program.';
comment on table enrolment_token is 'Good for uses_max agents. Only the SHA-256 of the secret is kept.';

create table enrolment_use (
  token bigint not null references enrolment_token on delete cascade,
  agent bigint not null references agent,
  at timestamptz not null default now(),
  address text,
  primary key (token, agent)
);
create index enrolment_use_by_agent on enrolment_use (agent);
comment on table enrolment_use is 'Which agent came in by which token.';
insert into enrolment_use (token, agent, at) select token, agent, used_at from enrolment_token where agent is not null;

-- Asked for every few seconds by who leads.
create index agent_by_revoked_at on agent (revoked_at) where revoked_at is not null;
create index agent_by_key_changed_at on agent (key_changed_at);
