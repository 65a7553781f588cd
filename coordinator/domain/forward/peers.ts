/**
 * The other coordinators, for the dispatcher: by which secret each of them speaks to it. Whoever is not known yet makes the
 * list be read anew; however many strangers knock, it is read at most five times a second.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Identity, PublishedKey } from "./identity.ts";

const REREAD_PAUSE_MS = 200;

export class Peers {
  readonly #identity: Identity;
  readonly #published: () => Promise<PublishedKey[]>;
  #keys = new Map<string, PublishedKey>();
  readonly #secrets = new Map<string, { key: PublishedKey; term: number; secret: Buffer }>();
  #reading: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #readAtMono = Number.NEGATIVE_INFINITY;

  constructor(identity: Identity, published: () => Promise<PublishedKey[]>) {
    this.#identity = identity;
    this.#published = published;
  }

  /** Undefined when nobody announced itself as `sender`. Rejects as the database does. */
  async secretFrom(sender: string, term: number): Promise<Buffer | undefined> {
    if (!this.#keys.has(sender)) await this.#reread();
    const key = this.#keys.get(sender);
    if (key === undefined) return undefined;
    const known = this.#secrets.get(sender);
    if (known?.term === term && known.key.publicKey.equals(key.publicKey)) return known.secret;
    let secret: Buffer;
    try {
      secret = this.#identity.secretWith(key, term, "from");
    } catch {
      return undefined;
    }
    this.#secrets.set(sender, { key, term, secret });
    return secret;
  }

  /** Whoever comes while it is read may have announced itself just after, and waits for the next reading with all others. */
  #reread(): Promise<void> {
    this.#next ??= (async () => {
      await this.#reading;
      await delay(Math.max(0, this.#readAtMono + REREAD_PAUSE_MS - performance.now()));
      this.#readAtMono = performance.now();
      const reading = this.#read();
      this.#reading = reading.catch(() => {});
      this.#next = undefined;
      await reading;
    })();
    return this.#next;
  }

  async #read(): Promise<void> {
    const keys = await this.#published();
    this.#keys = new Map(keys.map((key) => [key.id, key]));
    for (const id of this.#secrets.keys()) if (!this.#keys.has(id)) this.#secrets.delete(id);
  }
}
