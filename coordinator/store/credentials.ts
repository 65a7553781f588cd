/**
 * Credentials: what people see of them. Each change is one transaction with its entry in the audit and, where it changes
 * who may do what, its relationships.
 */
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import { AiravataError } from "../../shared/error/error.ts";
import type { CredentialFacts, CredentialType } from "../../shared/model/credential.ts";
import { type ActorId, OPERATOR_ACTOR, type ProjectId } from "../../shared/model/ids.ts";
import type { Relationship, RelationshipChange } from "../../shared/model/relationship.ts";
import { type AuditEntry, type By, writeAudit } from "./audit.ts";
import { lockRelationships, relationshipsOf, writeRelationships } from "./relationships.ts";
import { dropSecrets, holdSecret, type SecretPlace } from "./secrets.ts";
import { transaction } from "./transaction.ts";

export interface StoredCredential {
  credential: number;
  name: string;
  type: CredentialType;
  owner: ActorId;
  ownerName: string;
  project: ProjectId | null;
  projectName: string | null;
  description: string;
  username: string | null;
  facts: CredentialFacts;
  /** Of the secret that holds. */
  number: number;
  /** Of what people change: grows with each change. */
  version: number;
  createdAtMs: number;
  rotatedAtMs: number;
  deletedAtMs: number | null;
  lastUsedAtMs: number | null;
}

export interface NewCredential {
  name: string;
  type: CredentialType;
  project: ProjectId | null;
  description: string;
  username: string | null;
  facts: CredentialFacts;
}

/** What is left out stays. */
export interface CredentialChange {
  name?: string | undefined;
  description?: string | undefined;
  username?: string | null | undefined;
}

export interface CredentialQuery {
  /** Numbers that the caller may see; null: all. */
  only: number[] | null;
  before: number | null;
  limit: number;
  name: string | null;
  type: CredentialType | null;
  deleted: boolean;
}

export interface CredentialStore {
  /** With the secret at `place`, which is in the vault. Throws `credential_name_taken`; undefined: the place was given up. */
  create(made: NewCredential, place: SecretPlace, by: By): Promise<{ relationship: number } | undefined>;
  /** Newest first. */
  list(query: CredentialQuery): Promise<StoredCredential[]>;
  find(credential: number): Promise<StoredCredential | undefined>;
  /** That somebody owns and that are not deleted. */
  countOf(owner: ActorId): Promise<number>;
  /** Throws `credential_name_taken`. False when it is deleted or, with `version`, has another one. */
  change(credential: number, change: CredentialChange, version: number | null, by: By): Promise<boolean>;
  /** The paths to destroy; undefined when it is deleted, or a later secret holds by now. */
  rotate(place: SecretPlace, facts: CredentialFacts, kept: number, by: By): Promise<string[] | undefined>;
  /**
   * Again is no error: nothing is left to destroy. The change of relationships after which its shares are over. Undefined
   * when there never was one. Throws `credential_bound`.
   */
  delete(credential: number, by: By): Promise<{ paths: string[]; relationship: number } | undefined>;
}

const TIMEOUT_MS = 10_000;
const UNIQUE_VIOLATION = "23505";
const SELECT = `select c.credential, c.name, c.type, c.owner, a.name as "ownerName", c.project, p.name as "projectName",
    c.description, c.username, c.facts, c.number, c.version, c.created_at, c.rotated_at, c.deleted_at,
    (select max(at) from credential_use u where u.credential = c.credential) as used_at
  from credential c join actor a on a.actor = c.owner left join project p on p.project = c.project`;

interface Row extends Omit<StoredCredential, "createdAtMs" | "rotatedAtMs" | "deletedAtMs" | "lastUsedAtMs"> {
  created_at: Date;
  rotated_at: Date;
  deleted_at: Date | null;
  used_at: Date | null;
}

export function createCredentialStore(pool: ConnectionPool): CredentialStore {
  return {
    create: (made, place, by) =>
      named(made.name, () =>
        transaction(pool, async (connection) => {
          if (!(await holdSecret(connection, place, 1))) return undefined;
          const { name, type, project, description, username, facts } = made;
          await connection.rows(
            `insert into credential (credential, name, type, owner, project, description, username, facts, number)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
            [place.credential, name, type, by.actor, project, description, username, facts, place.number],
            TIMEOUT_MS,
          );
          const relationships = ofNew(place.credential, by.actor, project);
          const relationship = await writeRelationships(connection, relationships, by.actor);
          await writeAudit(connection, [entry("create", by, place.credential, project, { after: made })]);
          return { relationship };
        }),
      ),
    list: async ({ only, before, limit, name, type, deleted }) => {
      const rows = await pool.rows<Row>(
        `${SELECT} where ($1::bigint[] is null or c.credential = any($1)) and ($2::bigint is null or c.credential < $2)
           and ($3::text is null or c.name = $3) and ($4::text is null or c.type = $4) and ($5 or c.deleted_at is null)
         order by c.credential desc limit $6`,
        [only, before, name, type, deleted, limit],
      );
      return rows.map(credentialOf);
    },
    find: async (credential) => {
      const [row] = await pool.rows<Row>(`${SELECT} where c.credential = $1`, [credential]);
      return row && credentialOf(row);
    },
    countOf: async (owner) => {
      const text = "select count(*) as n from credential where owner = $1 and deleted_at is null";
      return (await pool.rows<{ n: number }>(text, [owner]))[0]?.n ?? 0;
    },
    change: (credential, change, version, by) =>
      named(change.name ?? "", () =>
        transaction(pool, async (connection) => {
          const [before] = await connection.rows<Before>(LOCK, [credential], TIMEOUT_MS);
          if (!before || (version !== null && before.version !== version)) return false;
          await connection.rows(
            `update credential set version = version + 1, name = coalesce($2, name), description = coalesce($3, description),
               username = case when $5::bool then $4 else username end where credential = $1`,
            [credential, change.name, change.description, change.username, change.username !== undefined],
            TIMEOUT_MS,
          );
          const { project, version: _version, number: _number, ...was } = before;
          await writeAudit(connection, [entry("update", by, credential, project, { before: was, after: change })]);
          return true;
        }),
      ),
    rotate: (place, facts, kept, by) =>
      transaction(pool, async (connection) => {
        const [before] = await connection.rows<Before>(LOCK, [place.credential], TIMEOUT_MS);
        if (!before || before.number >= place.number) return undefined;
        const dropped = await holdSecret(connection, place, kept);
        if (dropped === undefined) return undefined;
        await connection.rows(
          `update credential set number = $2, facts = $3, version = version + 1, rotated_at = now() where credential = $1`,
          [place.credential, place.number, facts],
          TIMEOUT_MS,
        );
        const about = { before: { number: before.number }, after: { number: place.number, facts } };
        await writeAudit(connection, [entry("rotate", by, place.credential, before.project, about)]);
        return dropped;
      }),
    delete: (credential, by) =>
      transaction(pool, async (connection) => {
        const head = await lockRelationships(connection);
        const [before] = await connection.rows<Before>(LOCK, [credential], TIMEOUT_MS);
        if (!before) return (await isKnown(connection, credential)) ? { paths: [], relationship: head } : undefined;
        await refuseBound(connection, credential);
        await connection.rows(
          "update credential set deleted_at = now(), version = version + 1 where credential = $1",
          [credential],
          TIMEOUT_MS,
        );
        const paths = await dropSecrets(connection, credential, before.number);
        // Whoever managed it may still look at its history; shares end.
        const all = await relationshipsOf(connection, objectOf(credential), { asSubject: false });
        const changes = all
          .filter(({ relation }) => relation === "reader" || relation === "writer")
          .map((relationship): RelationshipChange => ({ op: "delete", relationship }));
        const relationship = (await writeRelationships(connection, changes, by.actor)) || head;
        const { project, version: _version, ...was } = before;
        await writeAudit(connection, [entry("delete", by, credential, project, { before: was })]);
        return { paths, relationship };
      }),
  };
}

interface Before {
  name: string;
  description: string;
  username: string | null;
  project: ProjectId | null;
  version: number;
  number: number;
}

const LOCK = `select name, description, username, project, version, number from credential
  where credential = $1 and deleted_at is null for update`;

/** As relationships name it. */
function objectOf(credential: number): Relationship["resource"] {
  return { type: "credential", id: String(credential) };
}

function ofNew(credential: number, owner: ActorId, project: ProjectId | null): RelationshipChange[] {
  const touch = (relation: string, type: string, id: string): RelationshipChange => {
    return { op: "touch", relationship: { resource: objectOf(credential), relation, subject: { type, id } } };
  };
  const all = [touch("platform", "platform", "main")];
  // The holder of the operator's token may do everything anyway, and owns nothing.
  if (owner !== OPERATOR_ACTOR) all.push(touch("owner", "user", String(owner)));
  if (project !== null) all.push(touch("project", "project", String(project)));
  return all;
}

/** An entry of the audit about a credential: names and facts, never a secret. */
export function entry(
  verb: string,
  by: By,
  credential: number,
  project: ProjectId | null,
  about: Pick<AuditEntry, "before" | "after">,
): AuditEntry {
  return { by, action: `credential.${verb}`, resource: { type: "credential", id: credential }, project, ...about };
}

async function isKnown(connection: Connection, credential: number): Promise<boolean> {
  const text = "select 1 from credential where credential = $1";
  return (await connection.rows(text, [credential], TIMEOUT_MS)).length > 0;
}

async function refuseBound(connection: Connection, credential: number): Promise<void> {
  const bound = await connection.rows<{ name: string }>(
    `select coalesce('compute resource ' || c.name, 'storage resource ' || s.name) as name from credential_binding b
       left join compute_resource c using (compute_resource) left join storage_resource s using (storage_resource)
     where b.credential = $1 order by 1 limit 5`,
    [credential],
    TIMEOUT_MS,
  );
  if (bound.length === 0) return;
  const names = bound.map(({ name }) => name).join(", ");
  throw new AiravataError(
    "credential_bound",
    `credential ${credential} is bound to ${names}: unbind it first, so that nothing loses its access unseen`,
  );
}

async function named<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if ((error as { code?: string }).code !== UNIQUE_VIOLATION) throw error;
    throw new AiravataError("credential_name_taken", `you have a credential "${name}" already: choose another name`);
  }
}

function credentialOf({ created_at, rotated_at, deleted_at, used_at, ...row }: Row): StoredCredential {
  return {
    ...row,
    createdAtMs: created_at.getTime(),
    rotatedAtMs: rotated_at.getTime(),
    deletedAtMs: deleted_at?.getTime() ?? null,
    lastUsedAtMs: used_at?.getTime() ?? null,
  };
}
