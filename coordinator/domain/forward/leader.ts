/**
 * Whom a coordinator that does not lead forwards to. The database's word is read again and again; whoever forwards is told
 * when a term is over, so that nothing hangs on a dispatcher that is paused or gone. While the database cannot be asked,
 * the last word stands: a dispatcher takes only what is meant for the term that it leads.
 */
import type { Logger } from "../../../shared/log/log.ts";
import type { Dispatcher } from "../../dispatch/contract.ts";
import type { Leader } from "../../store/store.ts";
import type { Identity } from "./identity.ts";

/** A dispatcher that takes what is forwarded. */
export interface KnownLeader {
  term: number;
  /** `host:port`. */
  address: string;
  /** Under which this process speaks to it. */
  secret: Buffer;
}

export interface LeaderWatch {
  /** Whether this process itself leads. */
  leads(): boolean;
  /**
   * The dispatcher, as soon as there is one of another term than `not`; undefined when this process leads, or when there
   * was none for `waitMs`.
   */
  find(waitMs: number, not?: number): Promise<KnownLeader | undefined>;
  /** Calls when a term is over. Returns the function that stops it. */
  onOver(listener: (term: number) => void): () => void;
  close(): void;
}

export interface LeaderWatchOptions {
  dispatcher: Dispatcher;
  identity: Identity;
  leader(): Promise<Leader | undefined>;
  /** Publishes the key of this process. */
  announce(): Promise<void>;
  log: Logger;
}

/** A takeover is seen this late at most while nobody waits for it. */
const LOOK_MS = 250;
/** While somebody waits. */
const LOOK_WAITING_MS = 50;
/** Far below the day for which an announcement holds. */
const ANNOUNCE_MS = 3_600_000;

export function createLeaderWatch(options: LeaderWatchOptions): LeaderWatch {
  return new Watch(options);
}

class Watch implements LeaderWatch {
  readonly #options: LeaderWatchOptions;
  readonly #waiting = new Set<() => void>();
  readonly #listeners = new Set<(term: number) => void>();
  readonly #unlisten: () => void;
  #known: KnownLeader | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #announcedMono = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: LeaderWatchOptions) {
    this.#options = options;
    this.#unlisten = options.dispatcher.onLeadership(() => this.#lookSoon(0));
    this.#lookSoon(0);
  }

  leads(): boolean {
    return this.#options.dispatcher.leadership().leading;
  }

  async find(waitMs: number, not?: number): Promise<KnownLeader | undefined> {
    const found = (): boolean => this.leads() || (this.#known !== undefined && this.#known.term !== not);
    if (!found() && waitMs > 0 && !this.#closed) {
      await new Promise<void>((resolve) => {
        const end = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(look);
          resolve();
        };
        const look = (): void => {
          if (found() || this.#closed) end();
        };
        const timer = setTimeout(end, waitMs);
        this.#waiting.add(look);
        this.#lookSoon(LOOK_WAITING_MS);
      });
    }
    return found() && !this.leads() ? this.#known : undefined;
  }

  onOver(listener: (term: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    this.#unlisten();
    clearTimeout(this.#timer);
    this.#know(undefined);
  }

  #lookSoon(ms: number): void {
    if (this.#closed || this.#looking) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), ms);
    // What keeps the process alive is that it listens.
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    this.#looking = true;
    const { log } = this.#options;
    try {
      await this.#announce();
      this.#know(this.leads() ? undefined : this.#toForward(await this.#options.leader()));
    } catch (error) {
      log.debug("who leads could not be read; the last word stands", { error });
    }
    this.#looking = false;
    this.#lookSoon(this.#waiting.size > 0 ? LOOK_WAITING_MS : LOOK_MS);
  }

  async #announce(): Promise<void> {
    const now = performance.now();
    if (now < this.#announcedMono + ANNOUNCE_MS) return;
    await this.#options.announce();
    this.#announcedMono = now;
  }

  /** Undefined when there is nobody, or nobody but this process, or one that takes nothing. */
  #toForward(leader: Leader | undefined): KnownLeader | undefined {
    const { identity, log } = this.#options;
    if (!leader?.live || leader.address === "" || leader.coordinator === null) return undefined;
    const { term, address, coordinator } = leader;
    if (coordinator.id === identity.id) return undefined;
    if (this.#known?.term === term) return this.#known;
    try {
      return { term, address, secret: identity.secretWith(coordinator, term, "to") };
    } catch (error) {
      log.error("the key that the leader published is none; nothing is forwarded to it", { term, error });
      return undefined;
    }
  }

  #know(leader: KnownLeader | undefined): void {
    const former = this.#known;
    this.#known = leader;
    if (leader !== undefined && former?.term !== leader.term) {
      this.#options.log.info("another coordinator leads; what needs it is forwarded there", {
        term: leader.term,
        address: leader.address,
      });
    }
    if (former !== undefined && former.term !== leader?.term) {
      for (const listener of this.#listeners) listener(former.term);
    }
    for (const look of [...this.#waiting]) look();
  }
}
