/** Secrets in memory, for a bounded time and of a bounded number; what leaves is wiped. Copies go in and come out. */

export interface SecretCacheOptions {
  lifeMs: number;
  max: number;
  monoMs(): number;
}

interface Kept {
  secret: Buffer;
  untilMs: number;
}

export class SecretCache {
  readonly #kept = new Map<string, Kept>();
  readonly #options: SecretCacheOptions;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SecretCacheOptions) {
    this.#options = options;
  }

  get(path: string): Buffer | undefined {
    this.#sweep();
    const kept = this.#kept.get(path);
    return kept && Buffer.from(kept.secret);
  }

  set(path: string, secret: Buffer): void {
    const { max, lifeMs, monoMs } = this.#options;
    this.drop(path);
    this.#kept.set(path, { secret: Buffer.from(secret), untilMs: monoMs() + lifeMs });
    // The oldest goes: it would be the first to go anyway.
    for (const oldest of this.#kept.keys()) if (this.#kept.size > max) this.drop(oldest);
    this.#timer ??= setInterval(() => this.#sweep(), lifeMs / 10).unref();
  }

  drop(path: string): void {
    this.#kept.get(path)?.secret.fill(0);
    this.#kept.delete(path);
  }

  clear(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const path of [...this.#kept.keys()]) this.drop(path);
  }

  #sweep(): void {
    const now = this.#options.monoMs();
    for (const [path, { untilMs }] of this.#kept) if (untilMs <= now) this.drop(path);
    if (this.#kept.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}
