/**
 * What is kept between two steps of a login, in this process's memory: bounded, expiring, and each entry good for one
 * use. Who floods it from one address pushes out his own entries; a full one refuses new logins and ends nobody's.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import { networkOf } from "../network.ts";

/** Some 600 bytes each: 6 MB. */
const ENTRIES_MAX = 10_000;
/** People behind one address who are in the midst of a login, with room for a lecture hall. */
const ENTRIES_PER_ADDRESS_MAX = 200;

interface Entry<T> {
  value: T;
  place: string;
  expiresMono: number;
}

export class PendingLogins<T> {
  // In the order in which they were put; sets hold the keys of an address (of IPv6 its /64) in that order too.
  private readonly entries = new Map<string, Entry<T>>();
  private readonly byAddress = new Map<string, Set<string>>();
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
    const place = networkOf(address);
    const own = this.byAddress.get(place) ?? new Set();
    const [oldest] = own;
    if (own.size >= ENTRIES_PER_ADDRESS_MAX && oldest !== undefined) this.delete(oldest);
    if (this.entries.size >= ENTRIES_MAX) {
      throw new AiravataError("oidc_busy", `more than ${ENTRIES_MAX} logins are under way; try again in a minute`);
    }
    const expiresMono = now + Math.min(lifetimeMs, this.lifetimeMs);
    this.entries.set(key, { value, place, expiresMono });
    this.byAddress.set(place, own.add(key));
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
    const own = this.byAddress.get(entry.place);
    own?.delete(key);
    if (own?.size === 0) this.byAddress.delete(entry.place);
  }

  /** From the oldest to the first that lives: one with a shorter life waits for those before it, `lifetimeMs` at most. */
  private sweep(now: number): void {
    for (const [key, { expiresMono }] of this.entries) {
      if (expiresMono > now) return;
      this.delete(key);
    }
  }
}
