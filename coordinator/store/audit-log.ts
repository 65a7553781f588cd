/**
 * The audit as it is read: entries for people, lines for exports and for whoever computes the chain again, seals. Every
 * statement reads a bounded part; nothing here changes an entry.
 */
import type { ConnectionPool } from "../../db/pool.ts";
import type { ActorId, ProjectId } from "../../shared/model/ids.ts";
import { type AuditEntry, writeAudit } from "./audit.ts";
import { transaction } from "./transaction.ts";

export interface StoredAuditEntry {
  entry: number;
  atMs: number;
  actor: ActorId;
  actorName: string | null;
  via: string;
  address: string | null;
  request: string | null;
  action: string;
  resourceType: string | null;
  resourceId: string | null;
  project: ProjectId | null;
  projectName: string | null;
  outcome: "done" | "refused";
  code: string | null;
  before: unknown;
  after: unknown;
}

/** What is left out is not looked at. */
export interface AuditFilter {
  /** Of these projects alone; null: whatever there is. */
  projects: readonly number[] | null;
  actor?: string | undefined;
  action?: string | undefined;
  resourceType?: string | undefined;
  resourceId?: string | undefined;
  project?: string | undefined;
  outcome?: "done" | "refused" | undefined;
  since?: string | undefined;
  until?: string | undefined;
  request?: string | undefined;
}

/** Of a seal, what everybody may compare. */
export interface SealHead {
  seal: number;
  /** As it was hashed: RFC 3339 with microseconds. */
  at: string;
  entries: number;
  /** Hex. */
  hash: string;
}

/** A whole seal. */
export interface StoredSeal {
  seal: number;
  at: string;
  entries: number[];
  digests: Buffer;
  previous: Buffer;
  hash: Buffer;
}

/** An entry as the chain has it: its digest is the SHA-256 of the line. */
export interface AuditLine {
  entry: number;
  line: string;
}

export interface AuditLog {
  /** In a transaction of their own: of what changed nothing. */
  append(entries: readonly AuditEntry[]): Promise<void>;
  /** Newest first, before the entry of that number. */
  find(filter: AuditFilter, before: number | null, limit: number): Promise<StoredAuditEntry[]>;
  /** Undefined when there is none, or none of these projects; with the seal that holds it. */
  entry(
    entry: number,
    projects: readonly number[] | null,
  ): Promise<(StoredAuditEntry & { seal: number | null }) | undefined>;
  /** In order, beginning after the entry of that number, up to `last`. */
  lines(filter: AuditFilter, after: number, last: number, limit: number): Promise<AuditLine[]>;
  linesOf(entries: readonly number[]): Promise<AuditLine[]>;
  /** The number of the newest entry, 0 without one. */
  newest(): Promise<number>;
  /** Undefined before the first seal. `waiting`: entries that no seal holds yet. */
  head(): Promise<{ head: SealHead | undefined; waiting: number }>;
  heads(after: number, limit: number): Promise<SealHead[]>;
  seals(after: number, limit: number): Promise<StoredSeal[]>;
  /** Makes the next seal over what waits, the oldest first; undefined when nothing does. */
  sealNext(entriesMax: number): Promise<SealHead | undefined>;
  /** Looks at the entries from `after` on: which of them no seal holds and none will. */
  unsealable(after: number, limit: number): Promise<{ last: number | null; entry: number | null }>;
  /** An entry that waits for its seal and is not there. */
  lost(): Promise<number | undefined>;
}

/** A seal of a thousand entries takes 0.1 s on a busy machine; the rest is for a disk that is busy with something else. */
const SEAL_TIMEOUT_MS = 60_000;

/** `audit_line` of db/migrations/000013, written out: whoever checks must not ask the database what to expect. */
const LINE = `(select row_to_json(line)::text from (
  select a.entry, to_char(a.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, a.actor, a.via, a.address,
    a.request, a.action, a.resource_type, a.resource_id, a.project, a.outcome, a.code, a.before, a.after) line)`;
const SEAL_AT = `to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
const ENTRY = `a.entry, a.at, a.actor, r.name as "actorName", a.via, a.address, a.request, a.action,
  a.resource_type as "resourceType", a.resource_id as "resourceId", a.project, p.name as "projectName", a.outcome, a.code,
  a.before, a.after`;
const ENTRY_FROM = "audit a left join actor r on r.actor = a.actor left join project p on p.project = a.project";
const HEAD = `seal, ${SEAL_AT} as at, cardinality(entries) as entries, encode(hash, 'hex') as hash`;

type EntryRow = Omit<StoredAuditEntry, "atMs"> & { at: Date };

export function createAuditLog(pool: ConnectionPool): AuditLog {
  return {
    append: (entries) => transaction(pool, (connection) => writeAudit(connection, entries)),
    find: async (filter, before, limit) => {
      const { text, values } = conditions(filter);
      const rows = await pool.rows<EntryRow>(
        `select ${ENTRY} from ${ENTRY_FROM} where ($1::bigint is null or a.entry < $1) ${text} order by a.entry desc limit $2`,
        [before, limit, ...values],
      );
      return rows.map(entryOf);
    },
    entry: async (entry, projects) => {
      const [row] = await pool.rows<EntryRow & { seal: number | null }>(
        `select ${ENTRY}, (select seal from audit_seal s
           where s.last_entry >= a.entry and s.first_entry <= a.entry and a.entry = any(s.entries) order by seal limit 1) as seal
         from ${ENTRY_FROM} where a.entry = $1 and ($2::bigint[] is null or a.project = any($2))`,
        [entry, projects],
      );
      return row && { ...entryOf(row), seal: row.seal };
    },
    lines: (filter, after, last, limit) => {
      const { text, values } = conditions(filter, 4);
      return pool.rows<AuditLine>(
        `select a.entry, ${LINE} as line from audit a where a.entry > $1 and a.entry <= $2 ${text} order by a.entry limit $3`,
        [after, last, limit, ...values],
      );
    },
    linesOf: (entries) =>
      pool.rows<AuditLine>(`select a.entry, ${LINE} as line from audit a where a.entry = any($1::bigint[])`, [entries]),
    newest: async () => {
      const [row] = await pool.rows<{ newest: number | null }>("select max(entry) as newest from audit");
      return row?.newest ?? 0;
    },
    head: async () => {
      // One moment: what no longer waits is in the head or before it.
      const [row] = await pool.rows<{ waiting: number } & (SealHead | { seal: null })>(
        `select w.waiting, h.* from (select count(*) as waiting from audit_unsealed) w
         left join (select ${HEAD} from audit_seal order by seal desc limit 1) h on true`,
      );
      const { waiting, ...head } = row ?? { waiting: 0, seal: null };
      return { head: head.seal === null ? undefined : head, waiting };
    },
    heads: (after, limit) =>
      pool.rows<SealHead>(`select ${HEAD} from audit_seal where seal > $1 order by seal limit $2`, [after, limit]),
    seals: (after, limit) =>
      pool.rows<StoredSeal>(
        `select seal, ${SEAL_AT} as at, entries, digests, previous, hash from audit_seal where seal > $1 order by seal limit $2`,
        [after, limit],
      ),
    sealNext: async (entriesMax) => {
      const text = `select seal, ${SEAL_AT} as at, entries, encode(hash, 'hex') as hash from audit_seal_next($1)`;
      return pool.use(async (connection) => (await connection.rows<SealHead>(text, [entriesMax], SEAL_TIMEOUT_MS))[0]);
    },
    unsealable: async (after, limit) => {
      // One statement is one moment: whatever waited in it and is sealed a moment later is found in either place. By sets:
      // nobody knows how many entries the seals of a span hold, and a join would be planned for a few.
      const [row] = await pool.rows<{ last: number | null; entry: number | null }>(
        `with part as materialized (select entry from audit where entry > $1 order by entry limit $2),
         span as (select min(entry) as low, max(entry) as high from part),
         held as (
           select unnest(s.entries) as entry from span, audit_seal s where s.last_entry >= low and s.first_entry <= high
           union all select u.entry from span, audit_unsealed u where u.entry between low and high)
         select (select high from span) as last,
           (select min(entry) from (select entry from part except select entry from held) beside) as entry`,
        [after, limit],
      );
      return row ?? { last: null, entry: null };
    },
    lost: async () => {
      const [row] = await pool.rows<{ entry: number | null }>(
        "select min(entry) as entry from audit_unsealed u where not exists (select from audit a where a.entry = u.entry)",
      );
      return row?.entry ?? undefined;
    },
  };
}

/** What a filter asks for, from that parameter on. */
function conditions(filter: AuditFilter, first = 3): { text: string; values: unknown[] } {
  const asked: [string, unknown][] = [
    ["a.project = any(?::bigint[])", filter.projects ?? undefined],
    [
      "a.actor = (select actor from actor where actor::text = ? or name = ? order by actor::text = ? desc limit 1)",
      filter.actor,
    ],
    ["(a.action = ? or starts_with(a.action, ? || '.'))", filter.action],
    ["a.resource_type = ?", filter.resourceType],
    ["a.resource_id = ?", filter.resourceId],
    ["a.project = (select project from project where name = ?)", filter.project],
    ["a.outcome = ?", filter.outcome],
    ["a.at >= ?::timestamptz", filter.since],
    ["a.at < ?::timestamptz", filter.until],
    ["a.request = ?", filter.request],
  ];
  const given = asked.filter(([, value]) => value !== undefined);
  return {
    text: given.map(([text], i) => `and ${text.replaceAll("?", `$${first + i}`)}`).join(" "),
    values: given.map(([, value]) => value),
  };
}

function entryOf({ at, ...row }: EntryRow): StoredAuditEntry {
  return { ...row, atMs: at.getTime() };
}
