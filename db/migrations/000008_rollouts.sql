-- Updates of agent programs: which version is wished, which agents it goes to, and how far each is. Whoever leads goes on
-- with what stands here.

create table agent_rollout (
  rollout bigint generated always as identity primary key,
  version text not null check (version ~ '^[0-9A-Za-z.+-]{1,64}$'),
  state text not null default 'ACTIVE' check (state in ('ACTIVE', 'DONE', 'STOPPED')),
  reason text not null default '',
  created_by bigint not null references actor,
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((state = 'ACTIVE') = (ended_at is null))
);
create unique index agent_rollout_active on agent_rollout ((true)) where state = 'ACTIVE';
comment on table agent_rollout is 'One version for some agents: one of them first, then more at once, stopped by the first failure.';

create table agent_rollout_target (
  rollout bigint not null references agent_rollout,
  agent bigint not null references agent,
  position integer not null check (position >= 0),
  state text not null default 'WAITING' check (state in ('WAITING', 'ASKED', 'DOWNLOADING', 'HANDING_OVER', 'PROVING',
    'UPDATED', 'FAILED', 'ROLLED_BACK', 'SKIPPED')),
  message text not null default '',
  changed_at timestamptz not null default now(),
  begun_at timestamptz,
  primary key (rollout, agent)
);
create index agent_rollout_target_agent on agent_rollout_target (agent, rollout desc);
comment on column agent_rollout_target.changed_at is 'When its state was last set, or told again by the agent.';
comment on column agent_rollout_target.begun_at is 'When the agent was first asked.';

create table agent_update_policy (
  agent bigint primary key references agent,
  pinned_version text check (pinned_version ~ '^[0-9A-Za-z.+-]{1,64}$'),
  refused boolean not null default false,
  changed_by bigint not null references actor,
  changed_at timestamptz not null default now()
);
comment on table agent_update_policy is 'What the operator allows: one version only, or no update at all. No row: every version.';
