/**
 * One reign: the core of one term, its effects carried out, its timers. It ends once (deposed, a COMMIT that failed or
 * was not answered, its own deadline, a broken invariant); then the core is thrown away and everything is loaded again.
 */

import type { Logger } from "../../shared/log/log.ts";
import { CHECKPOINT_ENDS, CHECKPOINT_PERIOD_MS, LEADERSHIP_RENEWAL_MS } from "../../shared/model/constants.ts";
import type { AgentId, ExperimentId } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/time/clock.ts";
import type { Batch } from "./batch.ts";
import type { AgentPeer, Committed } from "./contract.ts";
import type { Core, CoreEvent, Effect, Peer, Reply } from "./core.ts";
import { evictEnded } from "./evict.ts";
import { usageOf } from "./floor/usage.ts";
import { encodeCheckpoint, markDirty } from "./ledger/snapshot.ts";
import { type LoopFigures, observeFlush } from "./loop.ts";
import { Deposed, type Now, type Reign } from "./ports.ts";
import { step } from "./step.ts";

/** Period of ticks: expiry and backoff are seen at most this late. */
const TICK_MS = 100;
/** How long `close` waits for the append that is under way. */
const LAST_APPEND_MS = 2_000;

export interface ReigningOptions {
  reign: Reign;
  core: Core;
  clock: Clock;
  log: Logger;
  figures: LoopFigures;
  /** Of the checkpoint that was loaded. */
  checkpointSeq: number;
  committed: (committed: Committed) => void;
  /** Must not throw. */
  forged: (agent: AgentId, message: string) => void;
}

export class Reigning {
  readonly core: Core;
  /** Resolves with the reason when the reign has ended. */
  readonly ended: Promise<string>;
  private readonly options: ReigningOptions;
  private readonly peers = new Map<Peer, AgentPeer>();
  private readonly pending = new Map<number, (result: Reply | Error) => void>();
  private readonly timers: NodeJS.Timeout[] = [];
  private finish: (reason: string) => void = () => {};
  private over: string | null = null;
  private requestLast = 0;
  private appending: Promise<void> = Promise.resolve();
  private endsSinceCheckpoint = 0;
  private checkpointing: Promise<void> | null = null;
  private checkpointedMono: number;
  /** Appends behind which everything is folded. */
  private checkpointSeq: number;

  constructor(options: ReigningOptions) {
    this.options = options;
    this.core = options.core;
    this.checkpointedMono = options.clock.mono();
    this.checkpointSeq = options.checkpointSeq;
    this.ended = new Promise((resolve) => {
      this.finish = resolve;
    });
    this.timers.push(setInterval(() => this.onTimer(), TICK_MS));
    this.timers.push(setInterval(() => this.renew(), LEADERSHIP_RENEWAL_MS));
  }

  now(): Now {
    return { mono: this.options.clock.mono(), wall: this.options.clock.wall() };
  }

  /** Appends that the next load must replay. */
  checkpointLag(): number {
    return this.core.ledger.seq - this.checkpointSeq;
  }

  /** Feeds the core; nothing happens once the reign is over. */
  handle(event: CoreEvent): void {
    if (this.over !== null) return;
    try {
      for (const effect of step(this.core, event, this.now())) this.carryOut(effect);
    } catch (error) {
      this.options.log.error("the dispatcher's state contradicts itself; it is loaded again", { error });
      this.end(`broken invariant: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** Registers a connection under the number that it was accepted with. */
  connect(peer: AgentPeer): Peer {
    this.peers.set(peer.number, peer);
    return peer.number;
  }

  disconnect(peer: Peer): void {
    if (!this.peers.delete(peer)) return;
    this.handle({ type: "disconnected", peer });
  }

  /** Asks the core something that is answered at a commit. */
  request(make: (request: number) => CoreEvent): Promise<Reply | Error> {
    const request = ++this.requestLast;
    return new Promise((resolve) => {
      if (this.over !== null) resolve(new Deposed(this.over));
      else {
        this.pending.set(request, resolve);
        this.handle(make(request));
      }
    });
  }

  /** Ends the reign on purpose: lets the append under way finish, then resigns so that a successor need not wait. */
  async close(reason: string): Promise<void> {
    const bound = new Promise<void>((resolve) => setTimeout(resolve, LAST_APPEND_MS).unref());
    await Promise.race([this.appending.catch(() => {}), bound]);
    this.end(reason);
    await this.options.reign.resign();
  }

  private carryOut(effect: Effect): void {
    switch (effect.type) {
      case "append":
        this.append(effect.batch);
        return;
      case "send":
        this.peers.get(effect.peer)?.send(effect.message);
        return;
      case "close":
        this.peers.get(effect.peer)?.close(effect.reason);
        this.peers.delete(effect.peer);
        return;
      case "reply":
        this.pending.get(effect.request)?.(effect.result);
        this.pending.delete(effect.request);
        return;
      case "committed":
        this.onCommitted(effect.batch, effect.changed);
        return;
      case "forged":
        this.options.forged(effect.agent, effect.message);
        return;
      case "resign":
        this.end(effect.reason);
    }
  }

  private append(batch: Batch): void {
    const cut = this.core.inflight;
    const { clock, figures } = this.options;
    const appendedMono = clock.mono();
    this.appending = this.options.reign.append(batch);
    this.appending.then(
      () => {
        if (cut) observeFlush(figures, cut, appendedMono, clock.mono());
        this.handle({ type: "committed", seq: batch.seq });
      },
      (error: unknown) => {
        if (this.over !== null) return;
        this.options.log.warn("an append was not confirmed; the state is loaded again", { seq: batch.seq, error });
        this.end(`append ${batch.seq} was not confirmed`);
      },
    );
  }

  private onCommitted(batch: Batch, changed: ExperimentId[]): void {
    for (const end of batch.ends) this.endsSinceCheckpoint += end.indexes.length;
    this.options.committed({ timeline: this.core.config.timeline, batch, changed });
  }

  /** After a stall the sockets are read first: whoever spoke meanwhile is heard before anyone is declared lost. */
  private onTimer(): void {
    const gap = this.options.clock.mono() - this.core.lastTickMono;
    const tick = (): void => {
      this.handle({ type: "tick" });
      this.checkpointWhenDue();
    };
    if (gap > this.core.config.timing.stallMs) setImmediate(() => setImmediate(tick));
    else tick();
  }

  private renew(): void {
    this.options.reign.renew().then(
      (untilMono) => this.handle({ type: "leadership", untilMono }),
      (error: unknown) => {
        if (error instanceof Deposed) this.end(error.message);
        // Anything else is tried again at the next period; the core resigns by itself at its deadline.
        else this.options.log.warn("leadership was not renewed", { error });
      },
    );
  }

  private checkpointWhenDue(): void {
    if (this.over !== null || this.checkpointing !== null || this.checkpointLag() === 0) return;
    const elapsed = this.options.clock.mono() - this.checkpointedMono;
    if (this.endsSinceCheckpoint < CHECKPOINT_ENDS && elapsed < CHECKPOINT_PERIOD_MS) return;
    this.checkpointNow().catch(() => {});
  }

  /** Resolves when everything committed so far is folded and durable; rejects with the reason when it is not. */
  async checkpoint(): Promise<void> {
    await this.checkpointing?.catch(() => {});
    if (this.over !== null) throw new Deposed(this.over);
    if (this.checkpointLag() > 0) await (this.checkpointing ?? this.checkpointNow());
  }

  private checkpointNow(): Promise<void> {
    const encoded = encodeCheckpoint(this.core.ledger, this.core.config.shard, this.core.config.term);
    const checkpoint = { ...encoded, usage: usageOf(this.core, this.now()) };
    this.endsSinceCheckpoint = 0;
    this.checkpointedMono = this.options.clock.mono();
    this.checkpointing = this.options.reign.checkpoint(checkpoint).then(
      () => {
        this.checkpointing = null;
        this.checkpointSeq = checkpoint.seq;
        this.options.figures.checkpointSeconds.observe((this.options.clock.mono() - this.checkpointedMono) / 1_000);
        if (this.over === null) evictEnded(this.core, this.options.clock.wall());
      },
      (error: unknown) => {
        this.checkpointing = null;
        if (error instanceof Deposed) this.end(error.message);
        this.options.log.warn("a checkpoint was not written; it is tried again", { error });
        markDirty(this.core.ledger, checkpoint);
        throw error;
      },
    );
    return this.checkpointing;
  }

  private end(reason: string): void {
    if (this.over !== null) return;
    this.over = reason;
    for (const timer of this.timers) clearInterval(timer);
    for (const peer of this.peers.values()) peer.close(`this coordinator stopped leading: ${reason}`);
    this.peers.clear();
    for (const answer of this.pending.values()) answer(new Deposed(reason));
    this.pending.clear();
    this.finish(reason);
  }
}
