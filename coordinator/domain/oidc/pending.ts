/**
 * What is kept between two steps of a login, in this process's memory: bounded, expiring, and each entry good for one
 * use. Who floods it pushes out his own entries, from one address or from many of IPv6; where everybody has one, new logins
 * are refused and nobody loses his.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import { networkOf, siteOf } from "../network.ts";

/** Some 600 bytes each: 6 MB. */
const ENTRIES_MAX = 10_000;
/** People behind one address who are in the midst of a login, with room for a lecture hall. */
const ENTRIES_PER_ADDRESS_MAX = 200;

interface Entry<T> {
  value: T;
  network: string;
  /** The /48 of IPv6 where there is one: who is evicted when there is no room. */
  site: string;
  expiresMono: number;
}

export class PendingLogins<T> {
  // In the order in which they were put; sets hold the keys of a network and of a site in that order too.
  private readonly entries = new Map<string, Entry<T>>();
  private readonly byNetwork = new Map<string, Set<string>>();
  private readonly bySite = new Map<string, Set<string>>();
  private readonly mono: () => number;
  private readonly lifetimeMs: number;

  constructor(mono: () => number, lifetimeMs: number) {
    this.mono = mono;
    this.lifetimeMs = lifetimeMs;
  }

  get size(): number {
    return this.entries.size;
  }

  /** Lives for `lifetimeMs` at most. Throws `oidc_busy`. */
  put(key: string, value: T, address: string | null, lifetimeMs = this.lifetimeMs): void {
    const now = this.mono();
    this.sweep(now);
    const network = networkOf(address);
    const site = siteOf(address) ?? network;
    this.evict(this.byNetwork.get(network), ENTRIES_PER_ADDRESS_MAX);
    if (this.entries.size >= ENTRIES_MAX) this.evict(this.largest(), 2);
    if (this.entries.size >= ENTRIES_MAX) {
      throw new AiravataError("oidc_busy", `more than ${ENTRIES_MAX} logins are under way; try again in a minute`);
    }
    const expiresMono = now + Math.min(lifetimeMs, this.lifetimeMs);
    this.entries.set(key, { value, network, site, expiresMono });
    for (const [index, name] of this.indexes({ network, site }))
      index.set(name, (index.get(name) ?? new Set()).add(key));
  }

  get(key: string): T | undefined {
    const entry = this.entries.get(key);
    return entry !== undefined && entry.expiresMono > this.mono() ? entry.value : undefined;
  }

  /** It is gone afterwards, whatever becomes of it: a second use finds nothing. */
  take(key: string): T | undefined {
    const value = this.get(key);
    this.delete(key);
    return value;
  }

  delete(key: string): void {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    this.entries.delete(key);
    for (const [index, name] of this.indexes(entry)) {
      const own = index.get(name);
      own?.delete(key);
      if (own?.size === 0) index.delete(name);
    }
  }

  private indexes({ network, site }: { network: string; site: string }): [Map<string, Set<string>>, string][] {
    return [
      [this.byNetwork, network],
      [this.bySite, site],
    ];
  }

  /** Deletes the oldest of `held` when there are so many. */
  private evict(held: Set<string> | undefined, from: number): void {
    const [oldest] = held ?? [];
    if (held !== undefined && oldest !== undefined && held.size >= from) this.delete(oldest);
  }

  /** What the site with most entries has: looks at 10,000 at most, a fraction of a millisecond, only when all is full. */
  private largest(): Set<string> | undefined {
    let most: Set<string> | undefined;
    for (const held of this.bySite.values()) if (held.size > (most?.size ?? 0)) most = held;
    return most;
  }

  /** From the oldest to the first that lives: one with a shorter life waits for those before it, `lifetimeMs` at most. */
  private sweep(now: number): void {
    for (const [key, { expiresMono }] of this.entries) {
      if (expiresMono > now) return;
      this.delete(key);
    }
  }
}
