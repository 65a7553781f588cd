/** Groups of people and of other groups. Who is in one stands in the relationships; here is what it is called. */
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import { AiravataError } from "../../shared/error/error.ts";
import { OPERATOR_ACTOR } from "../../shared/model/ids.ts";
import type { Relationship } from "../../shared/model/relationship.ts";
import { type By, writeAudit } from "./audit.ts";
import { grantOf } from "./grants.ts";
import { changesTo, lockRelationships, PLATFORM_MAIN, relationshipsOf, writeRelationships } from "./relationships.ts";
import { transaction } from "./transaction.ts";

export interface StoredGroup {
  group: number;
  name: string;
  description: string;
  createdAtMs: number;
  version: number;
}

export interface GroupStore {
  /** By name, beginning after `after`. `only`: of these numbers. */
  list(after: string, limit: number, only: number[] | null): Promise<StoredGroup[]>;
  find(group: number): Promise<StoredGroup | undefined>;
  /** By name, or by number. */
  numberOf(name: string): Promise<number | undefined>;
  /** Whoever makes it manages it. Throws `group_name_taken`, and `groups_too_many` when he made `limit` already. */
  create(
    group: Pick<StoredGroup, "name" | "description">,
    limit: number | null,
    by: By,
  ): Promise<{ stored: StoredGroup; change: number }>;
  /** Undefined when there is none, or, with `version`, when it has another one. */
  change(group: number, description: string, version: number | null, by: By): Promise<StoredGroup | undefined>;
  /**
   * With its memberships; with `force` also with all that its members have by it, without it throws `group_in_use` when
   * they have anything. Undefined when there is none.
   */
  remove(group: number, force: boolean, by: By): Promise<{ stored: StoredGroup; change: number } | undefined>;
}

interface GroupRow {
  user_group: number;
  name: string;
  description: string;
  created_at: Date;
  version: number;
}

const TIMEOUT_MS = 5_000;
const UNIQUE_VIOLATION = "23505";
const COLUMNS = "user_group, name, description, created_at, version";

export function createGroupStore(pool: ConnectionPool): GroupStore {
  return {
    list: async (after, limit, only) => {
      const text = `select ${COLUMNS} from user_group where name > $1
                    and ($3::bigint[] is null or user_group = any($3)) order by name limit $2`;
      return (await pool.rows<GroupRow>(text, [after, limit, only])).map(groupOf);
    },
    find: async (group) => {
      const [row] = await pool.rows<GroupRow>(`select ${COLUMNS} from user_group where user_group = $1`, [group]);
      return row && groupOf(row);
    },
    numberOf: async (name) => {
      const text = "select user_group from user_group where name = lower($1) or user_group = $2";
      const number = /^\d{1,15}$/.test(name) ? Number(name) : null;
      return (await pool.rows<{ user_group: number }>(text, [name, number]))[0]?.user_group;
    },
    create: async (group, limit, by) => {
      try {
        return await transaction(pool, (connection) => create(connection, group, limit, by));
      } catch (error) {
        if ((error as { code?: string }).code !== UNIQUE_VIOLATION) throw error;
        throw new AiravataError("group_name_taken", `there is a group "${group.name}" already: choose another name`);
      }
    },
    change: (group, description, version, by) =>
      transaction(pool, async (connection) => {
        const before = await lockGroup(connection, group);
        if (!before || (version !== null && before.version !== version)) return undefined;
        const [row] = await connection.rows<GroupRow>(
          `update user_group set description = $2, version = version + 1 where user_group = $1 returning ${COLUMNS}`,
          [group, description],
          TIMEOUT_MS,
        );
        const after = groupOf(row!);
        const resource = { type: "group", id: group };
        await writeAudit(connection, [{ by, action: "group.change", resource, before, after }]);
        return after;
      }),
    remove: (group, force, by) => transaction(pool, (connection) => remove(connection, group, force, by)),
  };
}

async function create(
  connection: Connection,
  { name, description }: Pick<StoredGroup, "name" | "description">,
  limit: number | null,
  by: By,
): Promise<{ stored: StoredGroup; change: number }> {
  // First, because two that create at once would each count without the other's.
  await lockRelationships(connection);
  const text = "select count(*) as made from user_group where created_by = $1";
  const [counted] = await connection.rows<{ made: number }>(text, [by.actor], TIMEOUT_MS);
  if (limit !== null && counted!.made >= limit) {
    const sentence = `you made ${counted!.made} groups, which is the bound: delete one, or ask an administrator`;
    throw new AiravataError("groups_too_many", sentence);
  }
  const [row] = await connection.rows<GroupRow>(
    `insert into user_group (name, description, created_by) values ($1, $2, $3) returning ${COLUMNS}`,
    [name, description, by.actor],
    TIMEOUT_MS,
  );
  const stored = groupOf(row!);
  const resource = { type: "group", id: String(stored.group) };
  const relationships: Relationship[] = [{ resource, relation: "platform", subject: PLATFORM_MAIN }];
  // The holder of the operator's token is nobody's manager: he may do everything anyway.
  if (by.actor !== OPERATOR_ACTOR) relationships.push(grantOf(resource, "manager", { type: "user", id: by.actor }));
  const change = await writeRelationships(connection, changesTo("touch", relationships), by.actor);
  await writeAudit(connection, [{ by, action: "group.create", resource, after: stored }]);
  return { stored, change };
}

async function remove(
  connection: Connection,
  group: number,
  force: boolean,
  by: By,
): Promise<{ stored: StoredGroup; change: number } | undefined> {
  const head = await lockRelationships(connection);
  const stored = await lockGroup(connection, group);
  if (!stored) return undefined;
  const named = await relationshipsOf(connection, { type: "group", id: String(group) }, { asSubject: true });
  const uses = named.filter(({ subject }) => subject.type === "group" && subject.id === String(group));
  if (uses.length > 0 && !force) {
    const [{ relation, resource }] = uses as [Relationship];
    const more = uses.length > 1 ? ` and ${uses.length - 1} more` : "";
    throw new AiravataError(
      "group_in_use",
      `the members of group ${stored.name} are ${relation} of ${resource.type.replaceAll("_", " ")} ${resource.id}${more}: take that away first, or delete with force`,
    );
  }
  const change = await writeRelationships(connection, changesTo("delete", named), by.actor);
  await connection.rows("delete from user_group where user_group = $1", [group], TIMEOUT_MS);
  const before = { ...stored, relationships: named };
  await writeAudit(connection, [{ by, action: "group.delete", resource: { type: "group", id: group }, before }]);
  return { stored, change: change || head };
}

async function lockGroup(connection: Connection, group: number): Promise<StoredGroup | undefined> {
  const text = `select ${COLUMNS} from user_group where user_group = $1 for update`;
  const [row] = await connection.rows<GroupRow>(text, [group], TIMEOUT_MS);
  return row && groupOf(row);
}

function groupOf(row: GroupRow): StoredGroup {
  const { user_group: group, name, description, created_at: createdAt, version } = row;
  return { group, name, description, createdAtMs: createdAt.getTime(), version };
}
