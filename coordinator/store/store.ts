/**
 * The store: everything this coordinator keeps in PostgreSQL, opened from one address. Reads share a few connections;
 * a dispatcher's journal has its own, and nothing that reads can hold it up.
 */
import { hostname } from "node:os";
import { parseDatabaseUrl } from "../../db/address.ts";
import { ConnectionPool } from "../../db/pool.ts";
import { type Logger, silentLogger } from "../../shared/log/log.ts";
import { type Clock, systemClock } from "../../shared/time/clock.ts";
import type { LeadershipPort } from "../dispatch/ports.ts";
import { type AccountStore, createAccountStore } from "./accounts.ts";
import { type AgentStore, createAgentStore } from "./agents.ts";
import { type AuditLog, createAuditLog } from "./audit-log.ts";
import { type CoordinatorIdentity, type CoordinatorStore, createCoordinatorStore } from "./coordinators.ts";
import { type CredentialTieStore, createCredentialTieStore } from "./credential-ties.ts";
import { type CredentialStore, createCredentialStore } from "./credentials.ts";
import { createEnrolmentStore, type EnrolmentStore } from "./enrolment.ts";
import { createGrantStore, type GrantStore } from "./grants.ts";
import { createGroupStore, type GroupStore } from "./groups.ts";
import { createHistory } from "./history.ts";
import { createLeadership } from "./leadership.ts";
import { createLoginStore, type LoginStore } from "./logins.ts";
import { createTokenStore, type TokenStore } from "./personal-tokens.ts";
import { createProjectStore, type ProjectStore } from "./projects.ts";
import type { StoredHistory } from "./records.ts";
import { createRelationshipStore, type RelationshipStore } from "./relationships.ts";
import { createRemovalStore, type RemovalStore } from "./removals.ts";
import { createResourceStore, type Registry, type ResourceStore } from "./resources.ts";
import { createRetentionStore, type RetentionStore } from "./retention.ts";
import { createRolloutStore, type RolloutStore } from "./rollouts.ts";
import { createSecretStore, type SecretStore } from "./secrets.ts";
import { STORE_TYPES } from "./sessions.ts";

export interface Leader {
  term: number;
  timeline: number;
  holder: string;
  /** Where it takes what other coordinators forward. */
  address: string;
  /** What it is known by; null when an older program leads, to which nothing can be forwarded. */
  coordinator: CoordinatorIdentity | null;
  /** False when its row has run out: nobody leads, or somebody is about to. */
  live: boolean;
}

export interface Store {
  /** `address`: where other coordinators reach this one while it leads; it campaigns once that is known. */
  leadership(shard: number, address: string | Promise<string>, identity?: CoordinatorIdentity): LeadershipPort;
  history(shard: number): StoredHistory;
  retention(shard: number): RetentionStore;
  agents: AgentStore;
  audit: AuditLog;
  enrolment: EnrolmentStore;
  coordinators: CoordinatorStore;
  rollouts: RolloutStore;
  projects: ProjectStore;
  groups: GroupStore;
  removals: RemovalStore;
  grants: GrantStore;
  resources: Record<Registry, ResourceStore>;
  relationships: RelationshipStore;
  credentials: CredentialStore;
  credentialTies: CredentialTieStore;
  secrets: SecretStore;
  accounts: AccountStore;
  logins: LoginStore;
  tokens: TokenStore;
  /** Who leads by the database's word; undefined before the first one. */
  leader(shard: number): Promise<Leader | undefined>;
  /** Milliseconds of a round trip. Rejects with `database_unavailable` or its kin. */
  ping(): Promise<number>;
  close(): Promise<void>;
}

export interface StoreOptions {
  log?: Logger;
  clock?: Clock;
}

/** Concurrent reads; each is short, and PostgreSQL has two cores here. */
const POOL_CONNECTIONS_MAX = 8;
const QUERY_TIMEOUT_MS = 10_000;

/** Throws `database_url_invalid`; connects when it is first asked. */
export function createStore(url: string, options: StoreOptions = {}): Store {
  const log = options.log ?? silentLogger;
  const clock = options.clock ?? systemClock;
  const database = parseDatabaseUrl(url);
  const pool = new ConnectionPool(url, {
    name: "airavata store",
    max: POOL_CONNECTIONS_MAX,
    queryTimeoutMs: QUERY_TIMEOUT_MS,
    types: STORE_TYPES,
  });
  return {
    leadership: (shard, internalAddress, identity) => {
      const holder = `${hostname()} ${process.pid}`;
      return createLeadership({ address: database, shard, holder, internalAddress, identity, mono: clock.mono }, log);
    },
    history: (shard) => createHistory(pool, shard),
    retention: (shard) => createRetentionStore(database, pool, shard),
    agents: createAgentStore(pool),
    audit: createAuditLog(pool),
    enrolment: createEnrolmentStore(pool),
    coordinators: createCoordinatorStore(pool),
    rollouts: createRolloutStore(pool),
    projects: createProjectStore(pool),
    groups: createGroupStore(pool),
    removals: createRemovalStore(pool),
    grants: createGrantStore(pool),
    resources: {
      compute_resource: createResourceStore(pool, "compute_resource"),
      storage_resource: createResourceStore(pool, "storage_resource"),
    },
    relationships: createRelationshipStore(pool),
    credentials: createCredentialStore(pool),
    credentialTies: createCredentialTieStore(pool),
    secrets: createSecretStore(pool),
    accounts: createAccountStore(pool),
    logins: createLoginStore(pool),
    tokens: createTokenStore(pool),
    leader: async (shard) => {
      const [row] = await pool.rows<Omit<Leader, "coordinator"> & { id: string | null; public_key: Buffer | null }>(
        `select l.term, l.timeline, l.holder, l.address, r.expires_at > clock_timestamp() as live,
           c.coordinator as id, c.public_key
         from leadership l join leadership_renewal r using (shard)
           left join coordinator c on c.coordinator = l.coordinator and l.coordinator_term = l.term
         where shard = $1 and l.term > 0`,
        [shard],
      );
      if (!row) return undefined;
      const { id, public_key: publicKey, ...rest } = row;
      return { ...rest, coordinator: id !== null && publicKey !== null ? { id, publicKey } : null };
    },
    ping: async () => {
      const sent = clock.mono();
      await pool.rows("select 1");
      return clock.mono() - sent;
    },
    close: () => pool.close(),
  };
}
