/**
 * Brings the authorization engine to what the relationship table says, in the order of the commits, and knows how far it
 * is. Only the coordinator that leads feeds a server; an engine in memory is fed by its own process.
 */
import { setTimeout as delay } from "node:timers/promises";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import type { RelationshipChange } from "../../../shared/model/relationship.ts";
import type { RelationshipStore } from "../../store/relationships.ts";
import type { AuthorizationEngine, Revision } from "./ports.ts";

/** What the engine takes at once. */
const CHANGES_MAX = 1_000;
/** Until the engine answers: a started container takes some seconds. */
const RETRY_MS = 500;
const RETRY_CAP_MS = 5_000;
/** A start with a hundred thousand relationships loads for about two seconds. */
const LOAD_MS = 5_000;
/** A change waits for its turn in the engine; then whoever made it is told that it is recorded and not in force yet. */
const SETTLE_MS = 10_000;

export interface Position {
  /** The last change that the engine has. */
  change: number;
  revision: Revision;
}

interface FeedOptions {
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
  #why = new AiravataError("authorization_unavailable", "authorization is being loaded; try again in a moment");
  /** The term for which all is known that was committed before it. */
  #knownTerm: number | undefined;
  #failed = false;
  #preparing: Promise<void> | null = null;
  #catching: Promise<void> | null = null;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** The engine lost what it held: nothing is asked until it has it again. */
  forgotten(): void {
    this.#position = null;
    this.prepare();
  }

  /** Told after changes were applied. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Loads what the engine lacks, and tries until it is done. Called again, it begins anew only when nothing is under way. */
  prepare(): void {
    this.#preparing ??= this.#prepareUntilDone().finally(() => {
      this.#preparing = null;
    });
  }

  /** Where the engine is; as far as the database's head unless this process made every change itself. Throws `authorization_unavailable`. */
  async position(): Promise<Position> {
    const { engine, relationships, leads } = this.#options;
    if (this.#position === null) {
      this.prepare();
      // The first load is waited for; one that fails again and again is not.
      if (!this.#failed) await Promise.race([this.#preparing, delay(LOAD_MS, undefined, { ref: false })]);
      if (this.#position === null) throw this.#why;
    }
    const term = leads();
    if (term !== undefined) {
      if (term !== this.#knownTerm) await this.catchUp();
      this.#knownTerm = term;
      return this.#position;
    }
    const state = await relationships.state();
    if (!engine.memory) return { change: state.applied, revision: state.revision };
    if (state.head > this.#position.change) await this.catchUp();
    return this.#position;
  }

  /** Resolves when the change is in force. Throws `authorization_unavailable`: it is recorded, and will be. */
  async settle(change: number): Promise<void> {
    const untilMono = performance.now() + SETTLE_MS;
    while ((this.#position?.change ?? -1) < change) {
      if (performance.now() > untilMono) throw unsettled(this.#why);
      try {
        if (this.#position === null) throw this.#why;
        await this.catchUp();
      } catch (error) {
        if (!(error instanceof AiravataError && error.retryable)) throw error;
        throw unsettled(error);
      }
    }
  }

  /** Applies what was committed since; one run at a time. */
  async catchUp(): Promise<void> {
    // A run under way may have read before the caller's commit: the next one has not.
    while (this.#catching !== null) await this.#catching.catch(() => {});
    this.#catching = this.#apply().finally(() => {
      this.#catching = null;
    });
    await this.#catching;
  }

  /** Writes what the engine should hold already, in turn with what is applied. */
  async repair(changes: readonly RelationshipChange[]): Promise<void> {
    while (this.#catching !== null) await this.#catching.catch(() => {});
    this.#catching = (async () => {
      const revision = await this.#options.engine.apply(changes);
      if (this.#position !== null) await this.#arrived({ ...this.#position, revision });
    })().finally(() => {
      this.#catching = null;
    });
    await this.#catching;
    for (const listener of this.#listeners) listener();
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#preparing;
    await this.#catching?.catch(() => {});
  }

  async #apply(): Promise<void> {
    const { engine, relationships, leads } = this.#options;
    let applied = false;
    while (this.#position !== null && (engine.memory || leads() !== undefined)) {
      const changes = await relationships.changes(this.#position.change, CHANGES_MAX);
      const last = changes.at(-1);
      if (last === undefined) break;
      const revision = await engine.apply(changes);
      await this.#arrived({ change: last.change, revision });
      applied = true;
      if (changes.length < CHANGES_MAX) break;
    }
    if (applied) for (const listener of this.#listeners) listener();
  }

  async #arrived(position: Position): Promise<void> {
    const { engine, relationships, name } = this.#options;
    if (!engine.memory) {
      await relationships.applied({ applied: position.change, revision: position.revision, engine: name });
    }
    this.#position = position;
  }

  async #prepareUntilDone(): Promise<void> {
    const { log } = this.#options;
    let told: string | undefined;
    for (let pauseMs = RETRY_MS; !this.#stopping.signal.aborted; pauseMs = Math.min(RETRY_CAP_MS, pauseMs * 2)) {
      try {
        await this.#prepare();
        this.#failed = false;
        if (told !== undefined) log.info("authorization answers again");
        return;
      } catch (error) {
        this.#failed = true;
        const message = error instanceof Error ? error.message : String(error);
        const known = error instanceof AiravataError && error.code === "authorization_unavailable";
        this.#why = known ? error : new AiravataError("authorization_unavailable", message, { cause: error });
        if (message !== told)
          log.error("authorization cannot be asked: all that needs it is refused until it can", { error });
        told = message;
      }
      await delay(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
  }

  async #prepare(): Promise<void> {
    const { engine, relationships, schema, leads, name } = this.#options;
    const state = await relationships.state();
    const known = !engine.memory && state.engine === name;
    // What a server holds the leader looks after; the others only ask it.
    if (!engine.memory && leads() === undefined && known) {
      this.#position = { change: state.applied, revision: state.revision };
      return;
    }
    const held = await engine.prepare(schema);
    if (known && held) {
      this.#position = { change: state.applied, revision: state.revision };
    } else {
      // Read first, then fed: what changes meanwhile has a higher number and comes after.
      const { head, relationships: all } = await relationships.all();
      let revision: Revision = "";
      for (let from = 0; from < all.length; from += CHANGES_MAX) {
        const page = all.slice(from, from + CHANGES_MAX);
        revision = await engine.apply(page.map((relationship) => ({ op: "touch", relationship })));
      }
      await this.#arrived({ change: head, revision });
    }
    await this.#apply();
  }
}

function unsettled(cause: AiravataError): AiravataError {
  return new AiravataError(
    "authorization_unavailable",
    `the change is recorded and not in force yet: ${cause.message}; ask again to be told when it is`,
    { cause },
  );
}
