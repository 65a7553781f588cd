/**
 * Brings the authorization engine to what the table of relationships says, in the order of the commits, and knows how far
 * it is. An engine that failed is not asked again before it was looked at: until then everybody is told so at once. Only
 * the coordinator that leads feeds a server; an engine in memory is fed by its own process.
 */
import { setTimeout as delay } from "node:timers/promises";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import type { RelationshipChange } from "../../../shared/model/relationship.ts";
import type { RelationshipStore } from "../../store/relationships.ts";
import { type Drift, driftOf, keyOf } from "./drift.ts";
import type { AuthorizationEngine, Revision } from "./ports.ts";

/** What the engine takes at once. */
const CHANGES_MAX = 1_000;
/** Until the engine answers: a started container takes some seconds. */
const RETRY_MS = 250;
const RETRY_CAP_MS = 5_000;
/** A start with a hundred thousand relationships loads for about two seconds. */
const LOAD_MS = 5_000;
/** A change waits for its turn in the engine; then whoever made it is told that it is recorded and not in force yet. */
const SETTLE_MS = 10_000;
/** Of what differs, in the log. */
const NAMED_MAX = 20;

export interface Position {
  /** The last change that the engine has. */
  change: number;
  revision: Revision;
}

export interface FeedOptions {
  engine: AuthorizationEngine;
  /** What is fed: "embedded", or the server's endpoint. */
  name: string;
  relationships: RelationshipStore;
  schema: string;
  /** The term that this process leads. */
  leads(): number | undefined;
  log: Logger;
}

export class Feed {
  readonly #options: FeedOptions;
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<() => void>();
  #position: Position | null = null;
  /** Why nothing is asked; null while it may be. */
  #trouble: AiravataError | null = new AiravataError(
    "authorization_unavailable",
    "authorization is being loaded; try again in a moment",
  );
  /** Resolves when the first attempt of a preparation is over, well or not. */
  #attempted = Promise.withResolvers<void>();
  /** The term for which all is known that was committed before it. */
  #knownTerm: number | undefined;
  #preparing: Promise<void> | null = null;
  /** Ends the pause between two attempts. */
  #wake = Promise.withResolvers<void>();
  /** Since the present attempt began: it is not the one that is waited for. */
  #isWoken = false;
  #turn: Promise<unknown> | null = null;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** Told after what the engine holds has changed, and when it answers again: who could not ask then may ask now. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Loads what the engine lacks, and tries until it is done. */
  prepare(): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#preparing === null) this.#attempted = Promise.withResolvers();
    this.#preparing ??= this.#prepareUntilDone().finally(() => {
      this.#preparing = null;
    });
  }

  /** The engine lost what it held: nothing is asked until it has it again. */
  forgotten(): void {
    this.#position = null;
    this.distrust(new AiravataError("authorization_unavailable", "authorization is being loaded anew"));
  }

  /** This process leads from now on: what only the leader may do is tried at once, and waited for as a first attempt is. */
  led(): void {
    if (this.#preparing === null) return;
    this.#attempted = Promise.withResolvers();
    this.#wake.resolve();
    this.#isWoken = true;
  }

  /** A call to the engine failed: it is looked at, and until it answers nobody else waits for it. */
  distrust(error: unknown): void {
    if (!(error instanceof AiravataError && error.code === "authorization_unavailable")) return;
    this.#trouble = error;
    this.prepare();
  }

  /** How far the engine is: all that was committed before this was called. Throws `authorization_unavailable`. */
  async position(): Promise<Position> {
    const { engine, relationships, leads } = this.#options;
    if (this.#trouble !== null) {
      await this.#firstAttempt();
    }
    const term = leads();
    if (term === undefined && !engine.memory) {
      if (this.#trouble !== null) throw this.#trouble;
      const { applied, revision } = await relationships.state();
      return { change: applied, revision };
    }
    // Who leads has made every change since himself; the others look whether there are some.
    const isBehind =
      term === undefined
        ? (await relationships.state()).head > (this.#position?.change ?? 0)
        : term !== this.#knownTerm;
    if (isBehind && this.#trouble === null) await this.catchUp();
    if (term !== undefined) this.#knownTerm = term;
    if (this.#trouble !== null || this.#position === null) throw this.#trouble;
    return this.#position;
  }

  /** Resolves when the change is in force. Throws `authorization_unavailable`: it is recorded, and will be. */
  async settle(change: number): Promise<void> {
    const untilMono = performance.now() + SETTLE_MS;
    // What is still loading has the change in it when it is done.
    if (this.#trouble !== null) await this.#firstAttempt();
    while ((this.#position?.change ?? -1) < change) {
      if (this.#trouble === null) await this.catchUp().catch(() => {});
      if (this.#trouble !== null) throw unsettled(this.#trouble);
      if (performance.now() > untilMono) throw unsettled(new Error("another coordinator leads and applies it"));
    }
  }

  /** Applies what was committed since. */
  catchUp(): Promise<void> {
    return this.#alone(() => this.#apply());
  }

  /** Compares everything, and repairs what differs. Throws `authorization_unavailable`. */
  async verify(): Promise<Drift> {
    if (this.#trouble !== null) await this.#firstAttempt();
    if (this.#trouble !== null) throw this.#trouble;
    return this.#alone(async () => {
      await this.#apply();
      return this.#repair();
    });
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#preparing;
    await this.#turn?.catch(() => {});
  }

  /** One after the other: who waits begins after the one before has read, so that he misses no commit before his call. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await this.#inTurn(work);
    } catch (error) {
      this.distrust(error);
      throw error;
    }
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    while (this.#turn !== null) await this.#turn.catch(() => {});
    const turn = work().finally(() => {
      if (this.#turn === turn) this.#turn = null;
    });
    this.#turn = turn;
    return turn;
  }

  /** The first attempt to prepare is waited for; those that come after one that failed are not. */
  async #firstAttempt(): Promise<void> {
    this.prepare();
    await Promise.race([this.#attempted.promise, delay(LOAD_MS, undefined, { ref: false })]);
  }

  async #apply(): Promise<void> {
    const { engine, relationships, leads } = this.#options;
    while (this.#position !== null && (engine.memory || leads() !== undefined)) {
      const changes = await relationships.changes(this.#position.change, CHANGES_MAX);
      const last = changes.at(-1);
      if (last === undefined) break;
      const revision = await engine.apply(changes);
      await this.#arrived({ change: last.change, revision });
      // Not after the last of them: who waits for this change is answered from here on.
      this.#tell();
    }
  }

  /** Makes the engine equal to the table as of its head. */
  async #repair(): Promise<Drift> {
    const { engine, relationships, log } = this.#options;
    const { head, relationships: wanted } = await relationships.all();
    const held = [];
    for await (const page of engine.read()) held.push(...page);
    const drift = driftOf(held, wanted);
    const repairs: RelationshipChange[] = [
      ...drift.surplus.map((relationship) => ({ op: "delete" as const, relationship })),
      ...drift.missing.map((relationship) => ({ op: "touch" as const, relationship })),
    ];
    if (this.#position !== null && repairs.length > 0) {
      log.error("the authorization engine did not hold what the database says; it is repaired", {
        missing: drift.missing.slice(0, NAMED_MAX).map(keyOf),
        surplus: drift.surplus.slice(0, NAMED_MAX).map(keyOf),
        missing_count: drift.missing.length,
        surplus_count: drift.surplus.length,
      });
    }
    let revision = this.#position?.revision ?? "";
    for (let from = 0; from < repairs.length; from += CHANGES_MAX) {
      revision = await engine.apply(repairs.slice(from, from + CHANGES_MAX));
    }
    await this.#arrived({ change: head, revision });
    if (repairs.length > 0) this.#tell();
    return drift;
  }

  async #arrived(position: Position): Promise<void> {
    const { engine, relationships, name } = this.#options;
    if (!engine.memory) {
      await relationships.applied({ applied: position.change, revision: position.revision, engine: name });
    }
    this.#position = position;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  async #prepareUntilDone(): Promise<void> {
    const { log } = this.#options;
    let told: string | undefined;
    for (let pauseMs = RETRY_MS; !this.#stopping.signal.aborted; pauseMs = Math.min(RETRY_CAP_MS, pauseMs * 2)) {
      // Before the attempt: who begins to lead in its midst is not overheard.
      this.#wake = Promise.withResolvers();
      this.#isWoken = false;
      try {
        await this.#inTurn(() => this.#prepare());
        this.#trouble = null;
        if (told !== undefined) log.info("authorization answers again");
        this.#tell();
        return;
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        const known = error instanceof AiravataError && error.code === "authorization_unavailable";
        this.#trouble = known ? error : new AiravataError("authorization_unavailable", message, { cause: error });
        if (message !== told) {
          log.error("authorization cannot be asked: what needs it is refused until it can", { error });
        }
        told = message;
      } finally {
        if (this.#trouble === null || !this.#isWoken) this.#attempted.resolve();
      }
      const pause = delay(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
      await Promise.race([pause, this.#wake.promise]);
    }
  }

  async #prepare(): Promise<void> {
    const { engine, relationships, schema, leads, name } = this.#options;
    const state = await relationships.state();
    const held = await engine.prepare(schema);
    if (engine.memory) {
      if (this.#position === null) await this.#repair();
    } else if (leads() !== undefined && (state.engine !== name || this.#position !== null || !held)) {
      // Another server, or one that failed or was empty: it may have come back with less than it had.
      await this.#repair();
    } else if (state.engine === name) {
      this.#position = { change: state.applied, revision: state.revision };
    } else {
      throw new AiravataError(
        "authorization_unavailable",
        `the coordinator that leads has not loaded ${name} yet: all of them must name the same server`,
      );
    }
    await this.#apply();
  }
}

function unsettled(cause: Error): AiravataError {
  return new AiravataError(
    "authorization_unavailable",
    `the change is recorded and not in force yet: ${cause.message}; ask again to be told when it is`,
    { cause },
  );
}
