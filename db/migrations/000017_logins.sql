-- Logins: sessions with their rotating refresh tokens, and personal tokens. Only hashes of secrets stand here.

create table login_session (
  session bigint generated always as identity primary key,
  actor bigint not null references account,
  how text not null check (how in ('password', 'oidc')),
  address text check (length(address) <= 100),
  client text not null default '' check (length(client) <= 200),
  created_at timestamptz not null default now(),
  refreshed_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_because text check (revoked_because in ('logout', 'revoked', 'reuse', 'password', 'disabled', 'too_many')),
  check ((revoked_at is null) = (revoked_because is null))
);
create index login_session_by_actor on login_session (actor, session);
create index login_session_by_end on login_session (expires_at);
comment on table login_session is 'One login of one person. Its access tokens are good while it is not revoked.';

create table refresh_token (
  hash bytea primary key check (length(hash) = 32),
  session bigint not null references login_session on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  successor_nonce bytea,
  successor_hash bytea,
  check ((used_at is null) = (successor_hash is null))
);
create index refresh_token_by_session on refresh_token (session, created_at);
comment on table refresh_token is 'A session has one that is unused. A used one that comes again was stolen, or its thief is who has the other.';
comment on column refresh_token.successor_nonce is 'With the used token itself it gives the successor again, for an answer that was lost; alone it is worth nothing.';

create table personal_token (
  token bigint generated always as identity primary key,
  actor bigint not null references account,
  hash bytea not null unique check (length(hash) = 32),
  name text not null check (name <> '' and length(name) <= 100),
  scopes text[] not null check (cardinality(scopes) > 0),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  last_used_at timestamptz,
  revoked_at timestamptz
);
create index personal_token_by_actor on personal_token (actor, token);
comment on column personal_token.last_used_at is 'To the hour.';
