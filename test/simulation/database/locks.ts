/** The advisory lock of the journal: shared by appends, exclusive for a takeover; whoever waits is served in order. */
export interface Holder {
  /** Set when its transaction is rolled back; it gets and does nothing any more. */
  aborted: boolean;
}

interface Waiting {
  holder: Holder;
  exclusive: boolean;
  granted: () => void;
}

export class AdvisoryLock {
  private readonly shared = new Set<Holder>();
  private exclusive: Holder | null = null;
  private queue: Waiting[] = [];

  acquire(holder: Holder, exclusive: boolean, granted: () => void): void {
    this.queue.push({ holder, exclusive, granted });
    this.serve();
  }

  release(holder: Holder): void {
    this.shared.delete(holder);
    if (this.exclusive === holder) this.exclusive = null;
    this.serve();
  }

  get isFree(): boolean {
    return this.exclusive === null && this.shared.size === 0;
  }

  private serve(): void {
    for (let next = this.queue[0]; next; next = this.queue[0]) {
      if (next.holder.aborted) {
        this.queue.shift();
        continue;
      }
      if (this.exclusive !== null || (next.exclusive && this.shared.size > 0)) return;
      this.queue.shift();
      if (next.exclusive) this.exclusive = next.holder;
      else this.shared.add(next.holder);
      next.granted();
    }
  }
}
