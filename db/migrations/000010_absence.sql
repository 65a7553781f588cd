-- Since when agents are lost that tasks wait for (on_disconnect: wait): how long they are waited for outlives a takeover.

create table agent_absence (
  agent bigint primary key references agent,
  since timestamptz not null
);
comment on table agent_absence is 'Beside the journal: a row that is missing only begins the wait anew.';
