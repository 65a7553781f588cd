-- The audit's seals: a chain over its entries, made a batch at a time behind the writers.

-- What waits is kept by entry: numbers may become visible out of order, and a dump may go to a cluster that counts its
-- transactions anew, so neither tells what is sealed.
alter table audit drop column xact;
create index audit_by_project on audit (project, entry) where project is not null;
create index audit_by_time on audit using brin (at);

create table audit_unsealed (entry bigint primary key);
insert into audit_unsealed select entry from audit;
comment on table audit_unsealed is 'Entries that no seal holds yet; written with the entry, removed with its seal.';

create function audit_await_seal() returns trigger language plpgsql as $$
begin
  insert into audit_unsealed select entry from made on conflict do nothing;
  return null;
end $$;
create trigger audit_await_seal after insert on audit
  referencing new table as made for each statement execute function audit_await_seal();

create table audit_seal (
  seal bigint primary key check (seal > 0),
  at timestamptz not null,
  first_entry bigint not null,
  last_entry bigint not null check (last_entry >= first_entry),
  entries bigint[] not null check (cardinality(entries) > 0),
  digests bytea not null check (octet_length(digests) = 32 * cardinality(entries)),
  previous bytea not null check (octet_length(previous) = 32),
  hash bytea not null check (octet_length(hash) = 32)
);
create index audit_seal_by_entry on audit_seal (last_entry);
comment on table audit_seal is 'Append-only. How a hash is computed stands in docs/audit.md.';
comment on column audit_seal.digests is 'SHA-256 of the line of each entry, in the order of entries.';
create trigger audit_seal_append_only before update or delete on audit_seal for each row execute function audit_refuse_change();
create trigger audit_seal_no_truncate before truncate on audit_seal for each statement execute function audit_refuse_change();

create function audit_time(p_at timestamptz) returns text language sql immutable as $$
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- The line of an entry: what its digest is of, and what an export holds.
create function audit_line(p audit) returns text language sql stable as $$
  select row_to_json(line)::text from (
    select p.entry, audit_time(p.at) as at, p.actor, p.via, p.address, p.request, p.action, p.resource_type, p.resource_id,
      p.project, p.outcome, p.code, p.before, p.after) line
$$;

-- One call in a transaction of its own: whoever calls may stall or die, the seal is there whole or not at all. Writers of
-- the audit do not wait for it. Returns no row when nothing waits.
create function audit_seal_next(p_limit integer)
returns table (seal bigint, at timestamptz, entries integer, hash bytea) language plpgsql as $$
declare
  v_seal bigint;
  v_previous bytea;
  v_at timestamptz := clock_timestamp();
  v_first bigint;
  v_last bigint;
  v_entries bigint[];
  v_digests bytea;
  v_lines text;
  v_hash bytea;
begin
  -- Sealers come one after the other; the statements below see what the one before committed.
  lock table audit_seal in share row exclusive mode;
  select s.seal, s.hash into v_seal, v_previous from audit_seal s order by s.seal desc limit 1;
  if not found then
    v_seal := 0;
    v_previous := decode(repeat('00', 32), 'hex');
  end if;
  loop
    select min(w.entry), max(w.entry) into v_first, v_last
    from (select u.entry from audit_unsealed u join audit a on a.entry = u.entry order by u.entry limit p_limit) w;
    if v_first is null then
      return;
    end if;
    -- A restore of rows alone makes all of them wait again.
    delete from audit_unsealed u using audit_seal s cross join lateral unnest(s.entries) held(entry)
    where s.last_entry >= v_first and s.first_entry <= v_last and u.entry = held.entry and u.entry between v_first and v_last;
    select array_agg(w.entry order by w.entry), string_agg(w.digest, '' order by w.entry),
      string_agg(w.entry || ' ' || encode(w.digest, 'hex') || E'\n', '' order by w.entry)
    into v_entries, v_digests, v_lines
    from (
      select u.entry, sha256(convert_to(audit_line(a), 'UTF8')) as digest
      from audit_unsealed u join audit a on a.entry = u.entry
      where u.entry between v_first and v_last
      order by u.entry limit p_limit
    ) w;
    exit when v_entries is not null;
  end loop;
  v_hash := sha256(convert_to(
    'airavata-audit-seal/1 ' || v_seal + 1 || ' ' || audit_time(v_at) || ' ' || encode(v_previous, 'hex') || E'\n' || v_lines,
    'UTF8'));
  insert into audit_seal (seal, at, first_entry, last_entry, entries, digests, previous, hash)
  values (v_seal + 1, v_at, v_entries[1], v_entries[cardinality(v_entries)], v_entries, v_digests, v_previous, v_hash);
  delete from audit_unsealed u where u.entry = any(v_entries);
  return query select v_seal + 1, v_at, cardinality(v_entries), v_hash;
end $$;

-- A decision belongs to the project of its experiment.
create or replace function audit_decisions() returns trigger language plpgsql as $$
begin
  insert into audit (actor, via, action, resource_type, resource_id, project, outcome, after)
  select made.actor, 'journal', 'experiment.' || made.kind, 'experiment', made.experiment::text, x.project, 'done',
    jsonb_build_object('reason', made.reason, 'scope', made.scope, 'value', made.value)
  from made left join experiment x on x.shard = made.shard and x.experiment = made.experiment
  where made.actor <> 0;
  return null;
end $$;
