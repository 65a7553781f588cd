/**
 * Slows down who guesses passwords, and can never lock a person out: what is delayed is an address, never an account. A
 * person who has logged in well from an address has his own room there, whatever others try from it. An attempt counts
 * from its beginning, so that a thousand at once are a thousand.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import {
  LOGIN_ADDRESS_DELAY_MS_MAX,
  LOGIN_ADDRESS_FREE,
  LOGIN_FORGOTTEN_MS,
  LOGIN_PAIR_DELAY_MS_MAX,
  LOGIN_PAIR_FREE,
  LOGIN_THROTTLE_ENTRIES_MAX,
} from "../../../shared/model/constants.ts";
import { NETWORKS_PER_SITE, networkOf, siteOf } from "../network.ts";

/** Failures of one account from one address, or of one address. */
interface Failures {
  count: number;
  lastMono: number;
  /** Nothing is tried before. */
  untilMono: number;
}

export class LoginThrottle {
  /** The least recently used is forgotten first. */
  readonly #failures = new Map<string, Failures>();
  /** Pairs that logged in well. */
  readonly #good = new Set<string>();
  readonly #mono: () => number;

  constructor(mono: () => number = () => performance.now()) {
    this.#mono = mono;
  }

  /** Counts an attempt, as if it failed. Throws `too_many_attempts` while the address has to wait; that does not count. */
  begin(username: string, address: string | null): void {
    const { pair, places } = keysOf(username, address);
    const now = this.#mono();
    const found = [{ bucket: PAIR, key: pair }, ...(this.#good.has(pair) ? [] : places)];
    const waitMs = Math.max(...found.map(({ key }) => (this.#known(key, now)?.untilMono ?? 0) - now));
    if (waitMs > 0) {
      const seconds = Math.ceil(waitMs / 1000);
      throw new AiravataError(
        "too_many_attempts",
        `there were too many failed logins from this address; try again in ${seconds} s. The account is not locked`,
        { data: { retry_after_seconds: seconds } },
      );
    }
    for (const { bucket, key } of found) this.#count(bucket, key, now);
  }

  /** The attempt was right: the address' other failures stay, or a guesser could clear them with an account of his own. */
  succeeded(username: string, address: string | null): void {
    const { pair, places } = keysOf(username, address);
    this.#failures.delete(pair);
    for (const { key } of this.#good.has(pair) ? [] : places) {
      const failures = this.#failures.get(key);
      if (failures) failures.count = Math.max(0, failures.count - 1);
    }
    this.#good.delete(pair);
    this.#good.add(pair);
    if (this.#good.size > LOGIN_THROTTLE_ENTRIES_MAX) {
      for (const oldest of this.#good) {
        this.#good.delete(oldest);
        break;
      }
    }
  }

  /** What it holds, which is bounded. */
  get size(): number {
    return this.#failures.size + this.#good.size;
  }

  #known(key: string, now: number): Failures | undefined {
    const failures = this.#failures.get(key);
    if (failures && now - failures.lastMono > LOGIN_FORGOTTEN_MS) {
      this.#failures.delete(key);
      return undefined;
    }
    return failures;
  }

  #count({ free, delayMsMax }: Bucket, key: string, now: number): void {
    const count = (this.#known(key, now)?.count ?? 0) + 1;
    const over = count - free;
    const delayMs = over < 0 ? 0 : Math.min(delayMsMax, 1000 * 2 ** Math.min(over, 20));
    this.#failures.delete(key);
    this.#failures.set(key, { count, lastMono: now, untilMono: now + delayMs });
    if (this.#failures.size <= LOGIN_THROTTLE_ENTRIES_MAX) return;
    for (const oldest of this.#failures.keys()) {
      this.#failures.delete(oldest);
      break;
    }
  }
}

interface Bucket {
  /** Failures without a delay. */
  free: number;
  delayMsMax: number;
}

const PAIR: Bucket = { free: LOGIN_PAIR_FREE, delayMsMax: LOGIN_PAIR_DELAY_MS_MAX };
const ADDRESS: Bucket = { free: LOGIN_ADDRESS_FREE, delayMsMax: LOGIN_ADDRESS_DELAY_MS_MAX };
const SITE: Bucket = { ...ADDRESS, free: LOGIN_ADDRESS_FREE * NETWORKS_PER_SITE };

interface Keys {
  pair: string;
  places: { bucket: Bucket; key: string }[];
}

function keysOf(username: string, address: string | null): Keys {
  const network = networkOf(address);
  const site = siteOf(address);
  const places = [{ bucket: ADDRESS, key: network }, ...(site === undefined ? [] : [{ bucket: SITE, key: site }])];
  return { pair: `${network} ${username.toLowerCase().slice(0, 200)}`, places };
}
