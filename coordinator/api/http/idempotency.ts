/**
 * Idempotency-Key for creations that are not in the journal: the answer is remembered in this process for a day. After a
 * restart, or at another coordinator, the same key creates anew; what is created this way is harmless twice. (Experiments
 * keep their keys in the journal itself.)
 */
import { AiravataError } from "../../../shared/error/error.ts";

const KEPT_MS = 24 * 3_600_000;
/** Answers of a kilobyte: a megabyte. */
const KEPT_MAX = 1_000;

interface Request {
  key: string;
  bodyHash: string;
}

interface Kept<T> {
  bodyHash: string;
  atMs: number;
  answer: Promise<T>;
}

/** A key is its caller's: nobody is answered with what another one made. */
export function ownKey(idempotency: Request | null, { actor }: { actor: number }): Request | null {
  return idempotency && { ...idempotency, key: `${actor} ${idempotency.key}` };
}

export class RememberedAnswers<T> {
  private readonly kept = new Map<string, Kept<T>>();
  private readonly monoMs: () => number;

  constructor(monoMs: () => number = () => performance.now()) {
    this.monoMs = monoMs;
  }

  /** `create` runs once for a key. Throws `idempotency_key_reused` when the key came with another body. */
  async once(request: Request | null, create: () => Promise<T>): Promise<{ answer: T; replayed: boolean }> {
    if (request === null) return { answer: await create(), replayed: false };
    this.forgetOld();
    const known = this.kept.get(request.key);
    if (known) {
      if (known.bodyHash === request.bodyHash) return { answer: await known.answer, replayed: true };
      const text = `Idempotency-Key "${request.key}" was used for another request; use a new key for a new request`;
      throw new AiravataError("idempotency_key_reused", text);
    }
    const answer = create();
    this.kept.set(request.key, { bodyHash: request.bodyHash, atMs: this.monoMs(), answer });
    // What failed was not created: the same key may try again.
    answer.catch(() => this.kept.delete(request.key));
    return { answer: await answer, replayed: false };
  }

  private forgetOld(): void {
    const now = this.monoMs();
    for (const [key, { atMs }] of this.kept) {
      if (now - atMs < KEPT_MS && this.kept.size < KEPT_MAX) return;
      this.kept.delete(key);
    }
  }
}
