/**
 * PostgreSQL as far as the dispatcher depends on it: the leadership row, the advisory lock, appends that are in flight,
 * COMMITs whose answer is lost, backends that are killed, slow disks, restarts. What a transaction wrote is seen when it
 * commits; a client that dies does not stop what its backend is doing.
 */
import type { Batch } from "../../../coordinator/dispatch/batch.ts";
import type { LoadedState } from "../../../coordinator/dispatch/load.ts";
import type { EncodedCheckpoint } from "../../../coordinator/dispatch/ports.ts";
import { LEADERSHIP_LEASE_MS } from "../../../shared/model/constants.ts";
import type { Process } from "../engine/process.ts";
import type { World } from "../engine/world.ts";
import type { Oracle } from "../oracle.ts";
import { Durable } from "./durable.ts";
import { AdvisoryLock, type Holder } from "./locks.ts";
import type { Archivable, RetentionBugs } from "./retention.ts";

/** Deliberate bugs of the journal's guard. */
export interface DatabaseBugs extends RetentionBugs {
  /** Appends do not look at the term. */
  noTermCheck: boolean;
  /** They look at it, but take no lock, and neither does a takeover. */
  termCheckWithoutLock: boolean;
}

const LATENCY_MS = [0.1, 2] as const;
/** Disks of different worlds, from an NVMe drive to a shared one; one commit in twenty takes ten times as long. */
const COMMIT_MS_MAX = [3, 30, 150] as const;
/** A large journal takes longer to load than any deadline lasts. */
const LOAD_MS_MAX = [30, 3_000, 15_000] as const;

export type Answer<T> = { value: T } | { deposed: string } | { error: string };

/** One connection to the database, seen from both sides. */
export class Backend {
  readonly client: Process;
  readonly deliver: (handle: () => void) => void;
  alive = true;
  /** Its client is gone: it ends after what it is doing. */
  closing = false;
  /** When the last request arrives: order is kept. */
  arrivesMs = 0;
  /** Requests that wait for the one it serves. */
  readonly queue: (() => void)[] = [];
  busy = false;
  /** The transaction under way. */
  transaction: (Holder & { committing: boolean }) | null = null;
  /** Told when the client learns that it is gone. */
  broken: () => void = () => {};
  /** Answers that are still expected: they fail with the connection. */
  readonly pending = new Set<(answer: { error: string }) => void>();

  constructor(client: Process) {
    this.client = client;
    this.deliver = client.inlet();
  }
}

interface LeadershipRow {
  term: number;
  /** Journal backend of the holder: it holds a session lock while it lives. */
  backend: Backend | null;
  expiresMs: number;
  handedOver: boolean;
}

export class Postgres {
  readonly world: World;
  readonly durable = new Durable();
  readonly row: LeadershipRow = { term: 0, backend: null, expiresMs: 0, handedOver: true };
  private readonly oracle: Oracle;
  private readonly bugs: DatabaseBugs;
  private readonly lock = new AdvisoryLock();
  /** Of the leadership row: renewals, takeovers and resignations wait for each other. */
  private readonly rowLock = new AdvisoryLock();
  private backends: Backend[] = [];
  private readonly cuts = new Map<Process, number>();
  private waiting: [client: Process, arrive: () => void][] = [];
  private downUntilMs = 0;
  private slowUntilMs = 0;
  /** COMMITs whose answer is going to be lost. */
  answersToLose = 0;
  private readonly commitMsMax: number;
  private readonly loadMsMax: number;

  constructor(world: World, oracle: Oracle, bugs: DatabaseBugs) {
    this.commitMsMax = world.random.pick(COMMIT_MS_MAX);
    this.loadMsMax = world.random.pick(LOAD_MS_MAX);
    this.world = world;
    this.oracle = oracle;
    this.bugs = bugs;
  }

  /** A new connection; null while the server is down or cannot be reached. */
  connect(client: Process): Backend | null {
    if (this.world.nowMs < this.downUntilMs || this.isCut(client)) return null;
    const backend = new Backend(client);
    this.backends = this.backends.filter((other) => other.alive);
    this.backends.push(backend);
    return backend;
  }

  /** Appends one batch in a transaction of its own. */
  append(backend: Backend, batch: Batch, answer: (result: Answer<null>) => void): void {
    this.transact(backend, batch.term, answer, () => {
      const { seq } = this.durable;
      // The primary key of the journal.
      if (batch.seq !== seq + 1) return { error: `duplicate key or gap: seq ${batch.seq} after ${seq}` };
      this.world.trace("postgres", () => `commits ${batch.term}.${batch.seq}`);
      this.oracle.committed(batch, this.row.term);
      this.durable.append(batch);
      return { value: null };
    });
  }

  checkpoint(backend: Backend, checkpoint: EncodedCheckpoint, answer: (result: Answer<null>) => void): void {
    this.transact(backend, checkpoint.term, answer, () => {
      this.durable.checkpoint(checkpoint);
      return { value: null };
    });
  }

  /** Shared lock, then in the next statement the term, then the work; visible, with its lock freed, at the commit. */
  private transact<T>(
    backend: Backend,
    term: number,
    answer: (result: Answer<T>) => void,
    work: () => Answer<T>,
  ): void {
    this.request(backend, answer, (reply) => {
      const transaction = { aborted: false, committing: false };
      backend.transaction = transaction;
      const end = (result: Answer<T>): void => {
        backend.transaction = null;
        this.lock.release(transaction);
        reply(result);
      };
      const locked = (): void => {
        if (transaction.aborted) return;
        if (this.row.term !== term && !this.bugs.noTermCheck) {
          end({ deposed: `term ${this.row.term} reigns, not ${term}` });
          return;
        }
        transaction.committing = true;
        this.world.after(this.commitMs(), () => {
          if (!transaction.aborted) end(work());
        });
      };
      if (this.bugs.termCheckWithoutLock) locked();
      else this.lock.acquire(transaction, false, locked);
    });
  }

  /** One attempt to take over; answers with the new term, or null when somebody else reigns. */
  campaign(backend: Backend, answer: (result: Answer<number | null>) => void): void {
    this.request(backend, answer, (reply) => {
      if (!this.isVacant()) {
        reply({ value: null });
        return;
      }
      const holder = { aborted: false, committing: false };
      backend.transaction = holder;
      const update = (): void => {
        const startedMs = this.world.nowMs;
        const vacant = this.isVacant();
        this.world.after(this.commitMs(), () => {
          if (holder.aborted) return;
          backend.transaction = null;
          if (vacant) this.takeOver(backend, startedMs);
          this.rowLock.release(holder);
          this.lock.release(holder);
          reply({ value: vacant ? this.row.term : null });
        });
      };
      const locked = (): void => this.rowLock.acquire(holder, true, update);
      if (this.bugs.termCheckWithoutLock) {
        locked();
        return;
      }
      const old = this.row.backend;
      if (!this.lock.isFree && old?.alive) this.terminate(old);
      this.lock.acquire(holder, true, locked);
    });
  }

  private isVacant(): boolean {
    const { backend, expiresMs, handedOver } = this.row;
    return handedOver || !backend?.alive || expiresMs <= this.world.nowMs;
  }

  private takeOver(backend: Backend, startedMs: number): void {
    this.row.term++;
    this.row.backend = backend;
    this.row.expiresMs = startedMs + LEADERSHIP_LEASE_MS;
    this.row.handedOver = false;
    this.world.trace("postgres", () => `${backend.client.name} takes term ${this.row.term} at ${this.durable.seq}`);
  }

  renew(backend: Backend, term: number, answer: (result: Answer<null>) => void): void {
    this.request(backend, answer, (reply) => {
      this.updateRow(backend, () => {
        const startedMs = this.world.nowMs;
        if (this.row.term !== term || this.row.handedOver) {
          return () => reply({ deposed: `term ${this.row.term} reigns, not ${term}` });
        }
        return () => {
          this.row.expiresMs = startedMs + LEADERSHIP_LEASE_MS;
          reply({ value: null });
        };
      });
    });
  }

  resign(backend: Backend, term: number): void {
    this.request<null>(
      backend,
      () => {},
      (reply) => {
        this.updateRow(backend, () => () => {
          if (this.row.term === term) this.row.handedOver = true;
          reply({ value: null });
        });
      },
    );
  }

  /** A transaction on the leadership row alone: `begin` under its lock, what that returns at the commit. */
  private updateRow(backend: Backend, begin: () => () => void): void {
    const transaction = { aborted: false, committing: false };
    backend.transaction = transaction;
    this.rowLock.acquire(transaction, true, () => {
      transaction.committing = true;
      const commit = begin();
      this.world.after(this.commitMs(), () => {
        if (transaction.aborted) return;
        backend.transaction = null;
        this.rowLock.release(transaction);
        commit();
      });
    });
  }

  load(backend: Backend, term: number, answer: (result: Answer<LoadedState>) => void): void {
    this.request(backend, answer, (reply) => {
      this.oracle.loads(this.durable, term);
      const loaded = this.durable.loadKept(term);
      this.world.after(this.loadMs(), () => reply({ value: loaded }));
    });
  }

  history(backend: Backend, experiment: number, answer: (result: Answer<LoadedState>) => void): void {
    this.request(backend, answer, (reply) => reply({ value: this.durable.history(experiment) }));
  }

  /** Ended experiments that may be archived, of which nobody has heard for so long. */
  due(backend: Backend, beforeMs: number, answer: (result: Answer<Archivable[]>) => void): void {
    const { durable } = this;
    this.request(backend, answer, (reply) =>
      reply({ value: durable.retention.due(beforeMs, durable.newestCheckpoint()) }),
    );
  }

  /** Archives them under the term, like an append; then drops the partitions that are done with. */
  archive(
    backend: Backend,
    term: number,
    chosen: readonly Archivable[],
    answer: (result: Answer<number[]>) => void,
  ): void {
    const { durable, bugs } = this;
    this.transact(backend, term, answer, () => {
      const archived = durable.retention.archive(chosen, durable.newestCheckpoint());
      const gone = durable.retention.drop(bugs);
      if (gone.length > 0) this.world.trace("postgres", () => `drops the partitions of ${gone.join(", ")}`);
      this.oracle.dropped(gone);
      return { value: archived };
    });
  }

  /** Brings a request to its backend, which serves one at a time, and the answer back. */
  private request<T>(
    backend: Backend,
    answer: (result: Answer<T>) => void,
    serve: (reply: (result: Answer<T>) => void) => void,
  ): void {
    const fail = (error: { error: string }): void => answer(error);
    backend.pending.add(fail);
    const reply = (result: Answer<T>): void => {
      this.answer(backend, () => {
        if (backend.pending.delete(fail)) answer(result);
      });
      backend.busy = false;
      this.serveNext(backend);
    };
    this.carryIn(backend, () => {
      backend.queue.push(() => serve(reply));
      this.serveNext(backend);
    });
  }

  private serveNext(backend: Backend): void {
    if (backend.busy || !backend.alive) return;
    const serve = backend.queue.shift();
    if (serve) {
      backend.busy = true;
      serve();
    } else if (backend.closing) this.terminate(backend);
  }

  private answer(backend: Backend, receive: () => void): void {
    if (this.answersToLose > 0 && backend.alive && !backend.closing) {
      this.answersToLose--;
      this.world.trace("postgres", () => `an answer to ${backend.client.name} is lost`);
      this.terminate(backend);
    } else this.carryOut(backend.client, () => backend.deliver(receive));
  }

  /** To the server, in order; what a client sent before it died or closed arrives nevertheless. */
  private carryIn(backend: Backend, arrive: () => void): void {
    const { world } = this;
    if (this.isCut(backend.client)) {
      this.waiting.push([backend.client, () => this.carryIn(backend, arrive)]);
      return;
    }
    backend.arrivesMs = Math.max(backend.arrivesMs, world.nowMs + world.random.between(...LATENCY_MS));
    world.after(backend.arrivesMs - world.nowMs, arrive);
  }

  private carryOut(client: Process, arrive: () => void): void {
    if (this.isCut(client)) this.waiting.push([client, () => this.carryOut(client, arrive)]);
    else this.world.after(this.world.random.between(...LATENCY_MS), arrive);
  }

  /** Mostly little; a large journal on a busy server takes longer than any deadline. */
  private loadMs(): number {
    const { random, nowMs } = this.world;
    if (nowMs < this.slowUntilMs) return random.between(200, 12_000);
    return random.between(0, random.chance(0.2) ? this.loadMsMax : 30);
  }

  private commitMs(): number {
    const { random, nowMs } = this.world;
    if (nowMs < this.slowUntilMs) return random.between(200, Math.max(200, this.slowUntilMs - nowMs));
    return random.between(this.commitMsMax / 10, this.commitMsMax) * (random.chance(0.05) ? 10 : 1);
  }

  /** Ends a backend. What is already being committed may become durable nevertheless, its lock kept until then. */
  terminate(backend: Backend, mayCommit = true): void {
    if (!backend.alive) return;
    backend.alive = false;
    const { transaction, client } = backend;
    // While it commits it does not look for interrupts.
    if (transaction && !(transaction.committing && mayCommit && this.world.random.chance(0.5))) {
      transaction.aborted = true;
      this.rowLock.release(transaction);
      this.lock.release(transaction);
    }
    const errors = [...backend.pending];
    backend.pending.clear();
    this.carryOut(client, () =>
      backend.deliver(() => {
        for (const fail of errors) fail({ error: "the connection was closed" });
        backend.broken();
      }),
    );
  }

  /** Closed by its client: seen after what was sent before, and ended after what it is doing. */
  close(backend: Backend): void {
    backend.pending.clear();
    this.carryIn(backend, () => {
      backend.closing = true;
      if (!backend.busy || backend.transaction?.committing === false) this.terminate(backend);
    });
  }

  /** The client process died: its backends see it at once, or after what they are doing. */
  clientDied(client: Process): void {
    for (const backend of this.backends) if (backend.client === client) this.close(backend);
  }

  killBackends(client: Process): void {
    for (const backend of this.backends) if (backend.client === client && backend.alive) this.terminate(backend);
  }

  restart(downMs: number): void {
    this.world.trace("postgres", () => `restarts, down for ${Math.round(downMs)} ms`);
    for (const backend of this.backends) this.terminate(backend, false);
    this.downUntilMs = Math.max(this.downUntilMs, this.world.nowMs + downMs);
  }

  /** The operator puts a backup back: every connection is gone, and what was committed after it never was. */
  restore(seq: number): void {
    for (const backend of this.backends) this.terminate(backend, false);
    this.world.trace("postgres", () => `a backup of seq ${seq} is restored, ${this.durable.seq} was the newest`);
    this.durable.restore(seq);
    this.row.handedOver = true;
    this.oracle.restored(this.durable);
  }

  slowDown(durationMs: number): void {
    this.world.trace("postgres", () => `the disk is slow for ${Math.round(durationMs)} ms`);
    this.slowUntilMs = Math.max(this.slowUntilMs, this.world.nowMs + durationMs);
  }

  private isCut(client: Process): boolean {
    return (this.cuts.get(client) ?? 0) > 0;
  }

  cut(client: Process, durationMs: number): void {
    this.world.trace("network", () => `${client.name} is cut off from the database for ${Math.round(durationMs)} ms`);
    this.cuts.set(client, (this.cuts.get(client) ?? 0) + 1);
    this.world.after(durationMs, () => {
      this.cuts.set(client, (this.cuts.get(client) ?? 1) - 1);
      if (this.isCut(client)) return;
      const { waiting } = this;
      this.waiting = waiting.filter(([other]) => other !== client);
      for (const [other, arrive] of waiting) if (other === client) arrive();
    });
  }
}
