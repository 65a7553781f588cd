/**
 * One coordinator process of the simulation: campaigns for leadership, loads, reigns, and begins again. It can crash, also
 * between any two of these, be stopped for a while, and be restarted; while it does not lead it refuses agents and clients.
 */
import { createCore } from "../../../coordinator/dispatch/core.ts";
import { ledgerFrom } from "../../../coordinator/dispatch/ledger/snapshot.ts";
import type { LoadedState } from "../../../coordinator/dispatch/load.ts";
import type { Mutations } from "../../../coordinator/dispatch/mutations.ts";
import {
  INFRASTRUCTURE_RETRIES,
  LEADERSHIP_DEADLINE_MS,
  LEADERSHIP_RENEWAL_MS,
  sessionTiming,
} from "../../../shared/model/constants.ts";
import type { Backend, Postgres } from "../database/postgres.ts";
import type { CrashPoint, CrashPoints } from "../engine/crashes.ts";
import { type LocalNow, Process } from "../engine/process.ts";
import type { World } from "../engine/world.ts";
import type { Connection, Network } from "../network/connection.ts";
import type { Oracle } from "../oracle.ts";
import { Reign, type ReignManner } from "./reign.ts";

/** Between two looks whether leadership is vacant; jittered. */
const CAMPAIGN_MS = 250;
const DEAD_MS = [50, 5_000] as const;

/** Deliberate bugs of the shell. */
export interface ShellBugs {
  /** Agents' time to come back is counted from the takeover, not from when they can. */
  graceFromTakeover: boolean;
}

export interface DispatcherParts {
  world: World;
  oracle: Oracle;
  database: Postgres;
  network: Network;
  crashes: CrashPoints;
  ttlMs: number;
  mutations: Mutations;
  bugs: ShellBugs;
  /** Drawn per reign. */
  manner: () => ReignManner;
}

interface Backends {
  journal: Backend;
  side: Backend;
  store: Backend;
}

export class Dispatcher {
  readonly process: Process;
  reign: Reign | null = null;
  private readonly parts: DispatcherParts;
  private peerLast = 0;
  /** Taken down by an operator until this time. */
  private downUntilMs = 0;

  constructor(parts: DispatcherParts, number: number) {
    this.parts = parts;
    this.process = new Process(parts.world, `dispatcher ${number}`);
    this.start();
  }

  start(): void {
    if (this.process.alive || this.parts.world.nowMs < this.downUntilMs) return;
    this.parts.world.trace(this.process.name, () => "starts");
    this.process.start();
    this.campaignLater();
  }

  /** kill -9. */
  crash(): void {
    if (!this.process.alive) return;
    this.parts.world.trace(this.process.name, () => "is killed");
    this.reign?.abandon();
    this.reign = null;
    this.process.kill();
    this.parts.database.clientDied(this.process);
    this.parts.network.processDied(this.process);
  }

  /** An operator takes it down. */
  takeDown(durationMs: number): void {
    this.crash();
    this.downUntilMs = this.parts.world.nowMs + durationMs;
    this.parts.world.after(durationMs, () => this.start());
  }

  /** Whether it dies here; it is started again later. */
  private dies(point: CrashPoint): boolean {
    if (!this.process.alive || !this.parts.crashes.hit(point)) return false;
    this.crash();
    this.parts.world.after(this.parts.world.random.between(...DEAD_MS), () => this.start());
    return true;
  }

  stop(durationMs: number, asleep: boolean): void {
    if (this.process.running) this.process.stop(durationMs, asleep, () => {});
  }

  /** Gives leadership up on purpose, as a restart for an upgrade does. */
  handOver(): void {
    if (this.process.running) this.reign?.end("it hands over");
  }

  /** An agent's connection arrives. */
  accept(connection: Connection): void {
    const { reign } = this;
    if (!reign) {
      const message = "this coordinator does not lead";
      connection.toAgent({ type: "error", code: "not_leading", message, reaction: "reconnect" });
      connection.close(connection.dispatcher);
      return;
    }
    const peer = ++this.peerLast;
    connection.dispatcher.receive = (message) => reign.received(peer, message);
    connection.dispatcher.disconnected = () => reign.disconnected(peer);
    reign.accept(peer, connection);
  }

  private campaignLater(): void {
    const { random } = this.parts.world;
    this.process.timer(CAMPAIGN_MS * random.between(0.5, 1), () => this.campaign());
  }

  private campaign(): void {
    const { database } = this.parts;
    const journal = database.connect(this.process);
    const side = database.connect(this.process);
    const store = database.connect(this.process);
    if (!journal || !side || !store) {
      this.campaignLater();
      return;
    }
    const giveUp = (): void => {
      journal.broken = side.broken = store.broken = () => {};
      database.close(journal);
      database.close(side);
      database.close(store);
      this.campaignLater();
    };
    journal.broken = side.broken = store.broken = giveUp;
    database.campaign(journal, (result) => {
      if (!("value" in result) || result.value === null) {
        if ("value" in result) giveUp();
        return;
      }
      if (!this.dies("coordinator: won, nothing loaded")) this.load({ journal, side, store }, result.value, giveUp);
    });
  }

  private load(backends: Backends, term: number, giveUp: () => void): void {
    const { database } = this.parts;
    const won = this.process.now();
    let loading = true;
    this.process.every(
      LEADERSHIP_RENEWAL_MS,
      () => loading,
      () => database.renew(backends.side, term, () => {}),
    );
    database.load(backends.store, term, (result) => {
      loading = false;
      if (!("value" in result) || this.dies("coordinator: loaded, not renewed")) return;
      // Loading may have taken longer than the deadline; renew before anyone is welcomed.
      const renewedMono = this.process.now().mono;
      database.renew(backends.side, term, (answer) => {
        if ("deposed" in answer) giveUp();
        else if ("value" in answer && !this.dies("coordinator: renewed, nobody welcomed")) {
          this.begin(backends, result.value, renewedMono + LEADERSHIP_DEADLINE_MS, won);
        }
      });
    });
  }

  private begin(backends: Backends, loaded: LoadedState, untilMono: number, won: LocalNow): void {
    const { world, oracle, database, ttlMs, mutations, bugs, manner } = this.parts;
    const ledger = ledgerFrom(loaded);
    world.trace(this.process.name, () => `leads as term ${loaded.term} from seq ${ledger.seq}`);
    const config = {
      shard: 0,
      term: loaded.term,
      timeline: loaded.timeline,
      timing: sessionTiming(ttlMs),
      infrastructureRetries: INFRASTRUCTURE_RETRIES,
      random: () => world.random.next(),
      mutations,
    };
    const now = this.process.now();
    const core = createCore(config, ledger, untilMono, bugs.graceFromTakeover ? won : now);
    core.lastTickMono = now.mono;
    const over = (): void => {
      this.reign = null;
      this.campaignLater();
    };
    this.reign = new Reign({
      world,
      oracle,
      database,
      process: this.process,
      ...backends,
      core,
      manner: manner(),
      dies: (point) => this.dies(point),
      over,
    });
  }
}
