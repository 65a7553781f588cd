/** Rollouts of agent programs, the agents they go to, and what the operator allows each agent. */
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";
import type { AgentId, ProjectId } from "../../shared/model/ids.ts";
import type { RolloutState, TargetState } from "../../shared/model/update.ts";
import { type By, writeAudit } from "./audit.ts";
import { transaction } from "./transaction.ts";

export interface StoredRollout {
  rollout: number;
  version: string;
  state: RolloutState;
  /** Why it ended; empty while it is ACTIVE. */
  reason: string;
  createdAtMs: number;
  endedAtMs: number | null;
}

export interface StoredTarget {
  rollout: number;
  version: string;
  agent: AgentId;
  name: string;
  state: TargetState;
  message: string;
  changedAtMs: number;
  /** By the database's clock: since it was last set or told, and since the agent was first asked. */
  changedAgoMs: number;
  begunAgoMs: number;
}

export interface UpdatePolicy {
  agent: AgentId;
  pinnedVersion: string | null;
  refused: boolean;
}

export interface RolloutStore {
  /** Ends the active one and makes another, for these agents in this order. */
  create(rollout: { version: string; agents: AgentId[]; by: By }): Promise<number>;
  active(): Promise<StoredRollout | undefined>;
  find(rollout: number): Promise<StoredRollout | undefined>;
  /** Newest first, beginning before `before`. */
  list(before: number | null, limit: number): Promise<StoredRollout[]>;
  /** In the order of their turns. */
  targets(rollout: number): Promise<StoredTarget[]>;
  /** The latest target of each of these agents. */
  latest(agents: readonly AgentId[]): Promise<StoredTarget[]>;
  /** Moves an agent of an ACTIVE rollout on; false when it was no longer in that state. */
  move(move: {
    rollout: number;
    agent: AgentId;
    from: TargetState;
    to: TargetState;
    message: string;
  }): Promise<boolean>;
  /** What the agent says; it counts while it was asked and is not done. */
  report(report: { rollout: number; agent: AgentId; to: TargetState; message: string }): Promise<boolean>;
  /** False when it had ended. `by`: somebody, whom the audit names; null: it ended by itself. */
  end(rollout: number, state: Exclude<RolloutState, "ACTIVE">, reason: string, by: By | null): Promise<boolean>;
  policies(agents: readonly AgentId[]): Promise<UpdatePolicy[]>;
  setPolicy(policy: UpdatePolicy, by: By): Promise<void>;
}

interface RolloutRow {
  rollout: number;
  version: string;
  state: RolloutState;
  reason: string;
  created_at: Date;
  ended_at: Date | null;
}

interface TargetRow extends Omit<StoredTarget, "changedAtMs"> {
  changed_at: Date;
}

const ROLLOUT = "rollout, version, state, reason, created_at, ended_at";
const TARGET = `t.rollout, r.version, t.agent, a.name, t.state, t.message, t.changed_at,
  greatest(0, extract(epoch from clock_timestamp() - t.changed_at) * 1000)::float8 as "changedAgoMs",
  greatest(0, extract(epoch from clock_timestamp() - coalesce(t.begun_at, clock_timestamp())) * 1000)::float8 as "begunAgoMs"`;
const TARGET_FROM = "agent_rollout_target t join agent_rollout r using (rollout) join agent a on a.agent = t.agent";

export function createRolloutStore(pool: ConnectionPool): RolloutStore {
  const changed = async (text: string, values: unknown[]): Promise<boolean> =>
    (await pool.rows(text, values)).length === 1;
  return {
    create: ({ version, agents, by }) =>
      transaction(pool, async (connection) => {
        const [row] = await connection.rows<{ rollout: number; stopped: number | null }>(
          // The count makes the end of the active one come first: there is room for one.
          `with stopped as (
           update agent_rollout set state = 'STOPPED', reason = 'another rollout took its place', ended_at = now()
           where state = 'ACTIVE' returning rollout
         ), made as (
           insert into agent_rollout (version, created_by)
           select $1, $2 from (select count(*) from stopped) first returning rollout
         ), given as (
           insert into agent_rollout_target (rollout, agent, position)
           select made.rollout, x.agent, x.position - 1 from made, unnest($3::bigint[]) with ordinality as x(agent, position)
           returning rollout
         ) select rollout, (select rollout from stopped) as stopped from made`,
          [version, by.actor, agents],
          TIMEOUT_MS,
        );
        const { rollout, stopped } = row as { rollout: number; stopped: number | null };
        await audit(connection, by, "rollout.begin", rollout, { after: { version, agents, stopped } });
        return rollout;
      }),
    active: async () => {
      const [row] = await pool.rows<RolloutRow>(`select ${ROLLOUT} from agent_rollout where state = 'ACTIVE'`);
      return row && rolloutOf(row);
    },
    find: async (rollout) => {
      const [row] = await pool.rows<RolloutRow>(`select ${ROLLOUT} from agent_rollout where rollout = $1`, [rollout]);
      return row && rolloutOf(row);
    },
    list: async (before, limit) => {
      const text = `select ${ROLLOUT} from agent_rollout where $1::bigint is null or rollout < $1 order by rollout desc limit $2`;
      return (await pool.rows<RolloutRow>(text, [before, limit])).map(rolloutOf);
    },
    targets: async (rollout) => {
      const text = `select ${TARGET} from ${TARGET_FROM} where t.rollout = $1 order by t.position`;
      return (await pool.rows<TargetRow>(text, [rollout])).map(targetOf);
    },
    latest: async (agents) => {
      const text = `select distinct on (t.agent) ${TARGET} from ${TARGET_FROM}
                    where t.agent = any($1::bigint[]) order by t.agent, t.rollout desc`;
      return (await pool.rows<TargetRow>(text, [agents])).map(targetOf);
    },
    move: ({ rollout, agent, from, to, message }) =>
      changed(
        `update agent_rollout_target t set state = $4, message = $5, changed_at = now(),
           begun_at = case when $4 = 'ASKED' then coalesce(t.begun_at, now()) else t.begun_at end
         from agent_rollout r
         where t.rollout = $1 and t.agent = $2 and t.state = $3 and r.rollout = t.rollout and r.state = 'ACTIVE'
         returning t.agent`,
        [rollout, agent, from, to, message],
      ),
    report: ({ rollout, agent, to, message }) =>
      changed(
        // Of a rollout that was stopped nobody looks any more whether the agent stays.
        `update agent_rollout_target t set changed_at = now(), message = $4,
           state = case when $3 = 'PROVING' and r.state <> 'ACTIVE' then 'UPDATED' else $3 end
         from agent_rollout r
         where t.rollout = $1 and t.agent = $2 and r.rollout = t.rollout
           and t.state in ('ASKED', 'DOWNLOADING', 'HANDING_OVER', 'PROVING') and not ($3 = 'PROVING' and t.state = 'PROVING')
         returning t.agent`,
        [rollout, agent, to, message],
      ),
    end: (rollout, state, reason, by) =>
      transaction(pool, async (connection) => {
        const ended = await connection.rows(
          `update agent_rollout set state = $2, reason = $3, ended_at = now()
           where rollout = $1 and state = 'ACTIVE' returning rollout`,
          [rollout, state, reason],
          TIMEOUT_MS,
        );
        if (ended.length === 0) return false;
        if (by) await audit(connection, by, "rollout.stop", rollout, { after: { state, reason } });
        return true;
      }),
    policies: (agents) =>
      pool.rows<UpdatePolicy>(
        `select agent, pinned_version as "pinnedVersion", refused from agent_update_policy where agent = any($1::bigint[])`,
        [agents],
      ),
    setPolicy: ({ agent, pinnedVersion, refused }, by) =>
      transaction(pool, async (connection) => {
        const text = `select pinned_version as "pinnedVersion", refused from agent_update_policy where agent = $1 for update`;
        const [before] = await connection.rows(text, [agent], TIMEOUT_MS);
        await connection.rows(
          `insert into agent_update_policy (agent, pinned_version, refused, changed_by) values ($1, $2, $3, $4)
         on conflict (agent) do update set pinned_version = excluded.pinned_version, refused = excluded.refused,
           changed_by = excluded.changed_by, changed_at = now()`,
          [agent, pinnedVersion, refused, by.actor],
          TIMEOUT_MS,
        );
        const [row] = await connection.rows<{ project: ProjectId | null }>(
          "select case when any_project then null else project end as project from agent where agent = $1",
          [agent],
          TIMEOUT_MS,
        );
        const resource = { type: "agent", id: agent };
        const after = { pinnedVersion, refused };
        await writeAudit(connection, [
          { by, action: "agent.set_update_policy", resource, project: row?.project ?? null, before, after },
        ]);
      }),
  };
}

const TIMEOUT_MS = 5_000;

function audit(
  connection: Connection,
  by: By,
  action: string,
  rollout: number,
  states: { after: unknown },
): Promise<void> {
  return writeAudit(connection, [{ by, action, resource: { type: "rollout", id: rollout }, ...states }]);
}

function rolloutOf(row: RolloutRow): StoredRollout {
  const { rollout, version, state, reason, created_at, ended_at } = row;
  return {
    rollout,
    version,
    state,
    reason,
    createdAtMs: created_at.getTime(),
    endedAtMs: ended_at?.getTime() ?? null,
  };
}

function targetOf({ changed_at, ...row }: TargetRow): StoredTarget {
  return { ...row, changedAtMs: changed_at.getTime() };
}
