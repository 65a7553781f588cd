/**
 * Names and keys of agents, looked up at every hello. What is asked for while a query is under way goes together with the
 * next one: ten thousand agents that come back at once cost some queries, not ten thousand, and one alone never waits.
 * An answer is never older than its question, so whoever was revoked before is refused.
 */
import type { ConnectionPool } from "../../db/pool.ts";
import type { AgentId, ProjectId } from "../../shared/model/ids.ts";

export interface AgentIdentity {
  name: string;
  /** Ed25519, SPKI in DER. */
  publicKey: Buffer;
  /** The one project that it serves; null: all. */
  serves: ProjectId | null;
  /** By its token, whatever it says itself. */
  computeResource: string | null;
  revoked: boolean;
}

interface Question {
  agent: AgentId;
  resolve(identity: AgentIdentity | undefined): void;
  reject(error: unknown): void;
}

/** Agents in one query: about 100 bytes each in the answer, half a millisecond to decode. */
const QUERY_AGENTS_MAX = 500;

/** Longer than any reign goes on after it was succeeded, and than the database may be away. */
const REVOKED_LATELY = "15 minutes";
/** A fleet that enrolled in one hour changes its keys in one hour: these are read again and again. */
const CHANGED_LATELY = "1 minute";
const SELECT = `select agent, name, public_key as "publicKey", case when any_project then null else project end as serves,
    compute_resource as "computeResource", revoked_at is not null as revoked
  from agent`;

export class AgentIdentities {
  readonly #pool: ConnectionPool;
  #asked: Question[] = [];
  #asking = false;

  constructor(pool: ConnectionPool) {
    this.#pool = pool;
  }

  /** Also one that was revoked. */
  find(agent: AgentId): Promise<AgentIdentity | undefined> {
    return new Promise((resolve, reject) => {
      this.#asked.push({ agent, resolve, reject });
      if (!this.#asking) void this.#ask();
    });
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    while (this.#asked.length > 0) {
      const questions = this.#asked.splice(0, QUERY_AGENTS_MAX);
      try {
        const found = await this.#read(questions.map(({ agent }) => agent));
        for (const { agent, resolve } of questions) resolve(found.get(agent));
      } catch (error) {
        for (const { reject } of questions) reject(error);
      }
    }
    this.#asking = false;
  }

  /** For whoever was not told, because the change was made while another coordinator led. */
  async changed(): Promise<(AgentIdentity & { agent: AgentId })[]> {
    return this.#pool.rows(
      `${SELECT} where revoked_at > now() - interval '${REVOKED_LATELY}'
       union ${SELECT} where key_changed_at > now() - interval '${CHANGED_LATELY}' and key_changed_at > enrolled_at`,
      [],
    );
  }

  async #read(agents: AgentId[]): Promise<Map<AgentId, AgentIdentity>> {
    const text = `${SELECT} where agent = any ($1::bigint[])`;
    const rows = await this.#pool.rows<{ agent: AgentId } & AgentIdentity>(text, [agents]);
    return new Map(rows.map(({ agent, ...identity }) => [agent, identity]));
  }
}
