-- Coordinators know each other by public keys: a request that one forwards to the dispatcher is authenticated with a
-- secret that both derive from their own private key and the other's public one. No secret is kept here: who may only
-- read the database can forge nothing.

create table coordinator (
  coordinator text primary key check (coordinator ~ '^[0-9a-f]{32}$'),
  public_key bytea not null check (octet_length(public_key) between 32 and 100),
  seen_at timestamptz not null default clock_timestamp()
);
comment on table coordinator is 'Processes that may forward requests to the dispatcher. One that was not seen for a day is removed.';
comment on column coordinator.public_key is 'X25519, SPKI in DER; made anew at each start.';

alter table leadership
  add column coordinator text not null default '',
  add column coordinator_term bigint not null default 0;
comment on column leadership.coordinator_term is 'The term that named the coordinator: an older program raises the term alone, and then nobody knows its key.';
