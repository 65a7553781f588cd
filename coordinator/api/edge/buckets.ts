/**
 * Token buckets by key: each holds a minute's worth and fills evenly. One that is full again is as good as none, so memory
 * is bounded by forgetting who has not asked for longest.
 */

/** 65,536 × about 150 bytes: 10 MB at worst. A flood from more addresses than that empties nobody's own bucket. */
const BUCKETS_MAX = 65_536;

interface Bucket {
  tokens: number;
  atMono: number;
}

export class TokenBuckets {
  readonly #perMinute: number;
  readonly #mono: () => number;
  readonly #max: number;
  /** In the order of their last use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(perMinute: number, mono: () => number = () => performance.now(), max = BUCKETS_MAX) {
    this.#perMinute = perMinute;
    this.#mono = mono;
    this.#max = max;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one; 0 when there was one, else the whole seconds until there is. */
  take(key: string): number {
    const perMs = this.#perMinute / 60_000;
    const now = this.#mono();
    const bucket = this.#buckets.get(key) ?? { tokens: this.#perMinute, atMono: now };
    bucket.tokens = Math.min(this.#perMinute, bucket.tokens + (now - bucket.atMono) * perMs);
    bucket.atMono = now;
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > this.#max) this.#buckets.delete(this.#buckets.keys().next().value as string);
    // A hair below one is one: sums of fractions never reach it.
    if (bucket.tokens > 1 - 1e-6) {
      bucket.tokens = Math.max(0, bucket.tokens - 1);
      return 0;
    }
    return Math.max(1, Math.ceil((1 - bucket.tokens) / perMs / 1_000));
  }
}
