/**
 * One reign in the simulation: the real core of one term, its effects carried out over the modelled network and database,
 * its timers. The counterpart of coordinator/dispatch/reigning.ts, with the same periods and the same order after a stop.
 */

import type { Batch } from "../../../coordinator/dispatch/batch.ts";
import type { DecisionRequest } from "../../../coordinator/dispatch/contract.ts";
import type { Core, CoreEvent, Effect, Peer, Reply } from "../../../coordinator/dispatch/core.ts";
import { evictEnded, retire } from "../../../coordinator/dispatch/evict.ts";
import { encodeCheckpoint, experimentFromHistory, markDirty } from "../../../coordinator/dispatch/ledger/snapshot.ts";
import { step } from "../../../coordinator/dispatch/step.ts";
import { Blame } from "../../../shared/model/attempt.ts";
import { LEADERSHIP_DEADLINE_MS, LEADERSHIP_RENEWAL_MS } from "../../../shared/model/constants.ts";
import { attemptKeyText, type ExperimentId } from "../../../shared/model/ids.ts";
import { PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST, type ToAgent } from "../../../shared/protocol/messages.ts";
import type { Backend, Postgres } from "../database/postgres.ts";
import type { CrashPoint } from "../engine/crashes.ts";
import type { Process } from "../engine/process.ts";
import type { World } from "../engine/world.ts";
import type { Connection } from "../network/connection.ts";
import type { Oracle } from "../oracle.ts";

const TICK_MS = 100;
const REOPEN_MS = 500;
const RETENTION_MS = 1_500;
/** Clocks run wrong by half a percent, see engine/process.ts. */
const CLOCK_RATE_MAX = 1.005;
/** Between a hello and the proof that it is genuine: a key is looked up in the database. */
const PROOF_MS = [0.1, 30] as const;

/** What differs from reign to reign. */
export interface ReignManner {
  checkpointPeriodMs: number;
  /** Ended experiments that stay in memory. */
  endedKept: number;
  /** How long after its end an experiment is archived; null: never. */
  retentionMs: number | null;
  /** A deliberate bug of the checkpoint. */
  leasesLeftOut: boolean;
}

export interface ReignParts {
  world: World;
  oracle: Oracle;
  database: Postgres;
  process: Process;
  journal: Backend;
  /** For renewals. */
  side: Backend;
  /** For checkpoints and history. */
  store: Backend;
  core: Core;
  manner: ReignManner;
  /** Whether the process dies at this point. */
  dies: (point: CrashPoint) => boolean;
  /** Told once, with the reason. */
  over: (reason: string) => void;
}

export class Reign {
  readonly core: Core;
  private readonly parts: ReignParts;
  private readonly peers = new Map<Peer, Connection>();
  private readonly requests = new Map<number, (reply: Reply | null) => void>();
  private requestLast = 0;
  private readonly retiring = new Set<number>();
  private readonly reviving: number[] = [];
  private ended = false;
  /** When each agent was heard last, or could be heard first, in the world's time. */
  private readonly heard = new Map<number, number>();
  /** Agents whose former session had run out when the present one began. */
  private readonly lapsed = new Set<number>();
  private checkpointing = false;
  private checkpointedSeq: number;

  constructor(parts: ReignParts) {
    this.parts = parts;
    this.core = parts.core;
    this.checkpointedSeq = parts.core.ledger.seq;
    const { process, journal, side } = parts;
    const lasts = (): boolean => !this.ended;
    process.every(TICK_MS, lasts, () => this.onTimer());
    process.every(LEADERSHIP_RENEWAL_MS, lasts, () => this.renew());
    process.every(parts.manner.checkpointPeriodMs, lasts, () => this.checkpoint());
    process.every(RETENTION_MS, lasts, () => this.archive());
    for (const floor of parts.core.agents.values()) this.heard.set(floor.agent, parts.world.nowMs);
    journal.broken = () => this.end("the journal connection broke");
    side.broken = () => this.end("the connection for renewals broke");
    this.keepStore();
  }

  /** Checkpoints and history are worth a new connection, not the end of the reign. */
  private keepStore(): void {
    const { database, process, store } = this.parts;
    const reopen = (): void => {
      if (this.ended) return;
      const opened = database.connect(process);
      if (opened) {
        this.parts.store = opened;
        this.keepStore();
      } else process.timer(REOPEN_MS, reopen);
    };
    store.broken = reopen;
  }

  handle(event: CoreEvent): void {
    if (this.ended) return;
    const { process, world, oracle } = this.parts;
    try {
      for (const effect of step(this.core, event, process.now())) {
        if (this.parts.dies("coordinator: between two effects")) return;
        this.carryOut(effect);
      }
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "BrokenInvariant") throw error;
      world.fail("the live state never contradicts itself", error.message);
    }
    if (event.type === "committed" && this.core.ledger.seq % 32 === 0) oracle.live(this.core.ledger);
  }

  /** A new connection; its number rises in the order of opening. */
  accept(peer: Peer, connection: Connection): void {
    this.peers.set(peer, connection);
    connection.toAgent({
      type: "challenge",
      version: PROTOCOL_VERSION,
      versionOldest: PROTOCOL_VERSION_OLDEST,
      nonce: String(peer),
      timeline: this.core.config.timeline,
    });
  }

  received(peer: Peer, message: never): void {
    if (!this.peers.has(peer)) return;
    const { type } = message as { type: string };
    if (type === "hello") {
      const { process, world } = this.parts;
      process.timer(world.random.between(...PROOF_MS), () => {
        if (this.peers.has(peer)) this.handle({ type: "hello", peer, hello: message });
      });
      return;
    }
    const agent = this.core.peers.get(peer)?.agent;
    if (type === "renew" && agent !== undefined) this.heard.set(agent, this.parts.world.nowMs);
    this.handle({ type: "message", peer, message });
  }

  /** An operator, or a later version, wants work back that has not started. */
  recall(agent: number): void {
    const floor = this.core.agents.get(agent as never);
    if (floor?.peer == null || this.ended) return;
    const held = [...floor.held].filter((entry) => entry.committed && !entry.ending && !entry.ghost);
    const groups = held.map(({ template, index, attempt }) => ({
      experiment: template.experiment.id,
      template: template.ordinal,
      indexes: [index],
      attempts: [attempt],
    }));
    this.send(floor.peer, { type: "recall", groups });
  }

  disconnected(peer: Peer): void {
    if (this.peers.delete(peer)) this.handle({ type: "disconnected", peer });
  }

  /** Asks the core; null when the reign ended before the answer. */
  request(make: (request: number) => CoreEvent, answer: (reply: Reply | null) => void): void {
    const request = ++this.requestLast;
    this.requests.set(request, answer);
    this.handle(make(request));
  }

  /** A decision; an experiment that is not in memory is brought back from its history first. */
  decide(decision: DecisionRequest, answer: (reply: Reply | null) => void): void {
    const { database, store } = this.parts;
    const ask = (): void => {
      if (this.retiring.has(decision.experiment)) answer(null);
      else this.request((request) => ({ type: "decide", request, decision }), answer);
    };
    const known = this.core.ledger.experiments.has(decision.experiment);
    if (known || decision.experiment > this.core.ledger.experimentMax || this.retiring.has(decision.experiment)) {
      ask();
      return;
    }
    this.reviving.push(decision.experiment);
    database.history(store, decision.experiment, (result) => {
      this.reviving.splice(this.reviving.indexOf(decision.experiment), 1);
      if (this.ended || !("value" in result)) return answer(null);
      const experiment = experimentFromHistory(result.value, decision.experiment);
      if (experiment) this.handle({ type: "revive", experiment });
      ask();
    });
  }

  /** Archives what ended long enough ago; nobody decides about it from before the transaction until after it. */
  private archive(): void {
    const { database, process, store, core, manner, dies } = this.parts;
    if (manner.retentionMs === null || this.retiring.size > 0) return;
    database.due(store, process.now().wall - manner.retentionMs, (found) => {
      if (this.ended || !("value" in found)) return;
      const chosen = found.value.filter(({ experiment }) => {
        return !this.reviving.includes(experiment as ExperimentId) && retire(core, experiment as ExperimentId);
      });
      if (chosen.length === 0) return;
      for (const { experiment } of chosen) this.retiring.add(experiment);
      if (dies("coordinator: experiments are being archived")) return;
      database.archive(this.parts.store, core.config.term, chosen, () => {
        this.retiring.clear();
        dies("coordinator: experiments are being archived");
      });
    });
  }

  private carryOut(effect: Effect): void {
    const { oracle } = this.parts;
    switch (effect.type) {
      case "append":
        this.append(effect.batch);
        return;
      case "send":
        this.send(effect.peer, effect.message);
        return;
      case "close": {
        const connection = this.peers.get(effect.peer);
        this.peers.delete(effect.peer);
        connection?.close(connection.dispatcher);
        return;
      }
      case "reply":
        this.reply(effect.request, effect.result);
        return;
      case "committed":
        return;
      case "forged":
        oracle.forged(effect.agent, effect.message);
        return;
      case "resign":
        this.end(effect.reason);
    }
  }

  private send(peer: Peer, message: ToAgent): void {
    const { oracle, process } = this.parts;
    const connection = this.peers.get(peer);
    if (!connection) return;
    switch (message.type) {
      case "welcome":
        this.welcomes(this.core.peers.get(peer)?.agent ?? 0);
        oracle.authoritySent(message.type, process.now().mono, this.core.leadUntilMono);
        break;
      case "renewed":
      case "leases":
        oracle.authoritySent(message.type, process.now().mono, this.core.leadUntilMono);
    }
    if (message.type === "leases") {
      const floor = this.core.peers.get(peer);
      for (const group of message.groups) oracle.leaseSent(group, floor?.agent ?? 0);
    } else if (message.type === "ack") {
      for (const group of message.groups) oracle.ackSent(group);
      for (const { group, code } of message.refused ?? []) oracle.refusalSent(group, code);
    }
    connection.toAgent(message);
  }

  private reply(request: number, result: Reply): void {
    const { oracle } = this.parts;
    if ("ok" in result && result.ok === "submitted") oracle.submitAnswered(result.experiment);
    this.requests.get(request)?.(result);
    this.requests.delete(request);
  }

  private append(batch: Batch): void {
    const { database, journal, dies } = this.parts;
    this.checkLosses(batch);
    if (dies("coordinator: before an append is sent")) return;
    database.append(journal, batch, (result) => {
      if (dies("coordinator: an append was answered")) return;
      if ("value" in result) this.handle({ type: "committed", seq: batch.seq });
      else this.end(`append ${batch.seq} was not confirmed: ${"error" in result ? result.error : result.deposed}`);
    });
    dies("coordinator: an append is on its way");
  }

  /** How long this process was awake since it heard that agent, at most. */
  private listenedMs(agent: number): number {
    const { world, process, core } = this.parts;
    const heardMs = this.heard.get(agent) ?? Number.NEGATIVE_INFINITY;
    return (world.nowMs - heardMs - process.pausedSince(heardMs, core.config.timing.stallMs)) * CLOCK_RATE_MAX;
  }

  /** A session begins; what is taken from the one before may only now be on its way into the journal. */
  private welcomes(agent: number): void {
    if (this.listenedMs(agent) >= this.core.config.timing.ttlMs) this.lapsed.add(agent);
    else this.lapsed.delete(agent);
    this.heard.set(agent, this.parts.world.nowMs);
  }

  /** Whoever is taken for lost has been listened to for a whole ttl: a pause of ours is no silence of theirs. */
  private checkLosses(batch: Batch): void {
    const { world, core } = this.parts;
    const { ttlMs } = core.config.timing;
    for (const { agents, blames, experiment, template, indexes, attempts } of batch.ends) {
      agents.forEach((agent, i) => {
        if (blames[i] !== Blame.AGENT_LOST) return;
        const listenedMs = this.listenedMs(agent);
        if (listenedMs >= ttlMs || this.lapsed.has(agent)) return;
        const key = attemptKeyText({
          experiment,
          template,
          index: indexes[i] as number,
          attempt: attempts[i] as number,
        });
        const text = `${key} is taken from agent ${agent} after ${Math.round(listenedMs)} ms of listening`;
        world.fail("nobody is lost because we slept", text);
      });
    }
  }

  /** After a stop the sockets are read before anyone is declared lost. */
  private onTimer(): void {
    const { process } = this.parts;
    const gapMs = process.now().mono - this.core.lastTickMono;
    const tick = (): void => this.handle({ type: "tick" });
    const { timing, mutations } = this.core.config;
    if (gapMs > timing.stallMs && !mutations.stallIgnored) process.timer(0, tick);
    else tick();
  }

  private renew(): void {
    if (this.ended) return;
    const { database, side, process, core } = this.parts;
    const sentMono = process.now().mono;
    database.renew(side, core.config.term, (result) => {
      if ("value" in result) this.handle({ type: "leadership", untilMono: sentMono + LEADERSHIP_DEADLINE_MS });
      else if ("deposed" in result) this.end(result.deposed);
    });
  }

  private checkpoint(): void {
    if (this.ended || this.checkpointing || this.checkpointedSeq === this.core.ledger.seq) return;
    const { database, store, core, manner, process, dies } = this.parts;
    const checkpoint = encodeCheckpoint(core.ledger, core.config.shard, core.config.term, manner.leasesLeftOut);
    if (dies("coordinator: a checkpoint is encoded")) return;
    this.checkpointing = true;
    this.checkpointedSeq = checkpoint.seq;
    database.checkpoint(store, checkpoint, (result) => {
      this.checkpointing = false;
      if (dies("coordinator: a checkpoint was written")) return;
      if (!("value" in result)) markDirty(core.ledger, checkpoint);
      else if (!this.ended) evictEnded(core, process.now().wall, manner.endedKept);
    });
    dies("coordinator: a checkpoint is on its way");
  }

  /** The process died: nothing of this reign is said or done any more. */
  abandon(): void {
    this.ended = true;
    for (const answer of this.requests.values()) answer(null);
  }

  /** The end of this reign: nothing the core says from here on counts. */
  end(reason: string): void {
    if (this.ended) return;
    this.ended = true;
    const { oracle, process, world, database, journal, side, store } = this.parts;
    world.trace(process.name, () => `stops leading: ${reason}`);
    oracle.live(this.core.ledger);
    for (const connection of this.peers.values()) connection.close(connection.dispatcher);
    for (const answer of this.requests.values()) answer(null);
    journal.broken = side.broken = store.broken = () => {};
    database.resign(side, this.core.config.term);
    database.close(journal);
    database.close(side);
    database.close(store);
    this.parts.over(reason);
  }
}
