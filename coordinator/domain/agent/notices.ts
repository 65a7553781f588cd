/**
 * What the operator should know of an agent: where its session comes from, that its identity was used twice at once, or that it claimed what is another
 * one's. The latest of each agent is shown with it while this process lives; the audit keeps them, at a bounded rate, so
 * that a hostile agent cannot fill it.
 */
import type { Logger } from "../../../shared/log/log.ts";
import { type AgentId, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import type { AgentStore } from "../../store/agents.ts";

export type NoticeKind = "identity_shared" | "forged";

export interface AgentNotice {
  kind: NoticeKind;
  message: string;
  atMs: number;
  /** How often it happened while this process lived. */
  count: number;
}

/** One entry of each kind and agent in so long; what comes in between is counted. */
const AUDIT_PERIOD_MS = 60_000;
/** As many as there may be agents; the oldest go. */
const NOTICES_MAX = 10_000;

export class AgentNotices {
  readonly #options: { agents: Pick<AgentStore, "note">; log: Logger; wall(): number };
  readonly #latest = new Map<AgentId, AgentNotice>();
  readonly #addresses = new Map<AgentId, string | null>();
  readonly #audited = new Map<string, { atMs: number; count: number }>();

  constructor(options: { agents: Pick<AgentStore, "note">; log: Logger; wall(): number }) {
    this.#options = options;
  }

  /** A session was opened from there. */
  connected(agent: AgentId, address: string | null): void {
    this.#addresses.set(agent, address);
  }

  /** Null when it is not known. */
  address(agent: AgentId): string | null {
    return this.#addresses.get(agent) ?? null;
  }

  latest(agent: AgentId): AgentNotice | undefined {
    return this.#latest.get(agent);
  }

  /** `address`: the client's, where it is known. Never throws. */
  tell(agent: AgentId, kind: NoticeKind, message: string, address: string | null): void {
    const { agents, log, wall } = this.#options;
    const atMs = wall();
    const before = this.#latest.get(agent);
    const count = before?.kind === kind ? before.count + 1 : 1;
    this.#latest.delete(agent);
    this.#latest.set(agent, { kind, message, atMs, count });
    if (this.#latest.size > NOTICES_MAX) this.#forget(this.#latest.keys().next().value as AgentId);
    const key = `${agent} ${kind}`;
    const audited = this.#audited.get(key);
    if (audited && atMs - audited.atMs < AUDIT_PERIOD_MS && atMs >= audited.atMs) return;
    this.#audited.set(key, { atMs, count });
    log.warn(message, { agent, kind, address });
    const by = { actor: SYSTEM_ACTOR, via: `agent ${agent}`, address, request: null };
    agents
      .note(agent, `agent.${kind}`, by, { message, times: count - (audited?.count ?? 0) })
      .catch((error: unknown) => {
        log.warn("what an agent did could not be written into the audit", { agent, kind, error });
      });
  }

  #forget(agent: AgentId): void {
    this.#latest.delete(agent);
    for (const kind of ["identity_shared", "forged"]) this.#audited.delete(`${agent} ${kind}`);
  }
}
