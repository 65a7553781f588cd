/**
 * Runs reconcilers: work without input that brings what is to what should be. Each one runs alone, on its period and when
 * nudged, while this process leads and not otherwise. A run that fails is told once per cause and the next one is the
 * retry; one that is under way when leadership ends is asked to stop and finds its writes refused.
 */
import type { Logger } from "../../shared/log/log.ts";

export interface Reconciler {
  /** For the log and for nudges. */
  readonly name: string;
  readonly periodMs: number;
  /**
   * Reads the state anew, does what is missing, and may be cut off anywhere. `signal` aborts when leadership ends. Resolves
   * with true when there is more to do at once: then it runs again without waiting for its period.
   */
  run(signal: AbortSignal): Promise<boolean>;
}

/** What the runner needs of the dispatcher. */
export interface LeadershipSource {
  leadership(): { leading: boolean };
  onLeadership(listener: (leadership: { leading: boolean }) => void): () => void;
}

export interface Reconcilers {
  /** Runs it soon; when it runs already, once more afterwards. Nothing happens while this process does not lead. */
  nudge(name: string): void;
  /** Resolves when nothing runs any more. */
  stop(): Promise<void>;
}

export interface ReconcilersOptions {
  reconcilers: readonly Reconciler[];
  source: LeadershipSource;
  log: Logger;
}

/** Begins with the present leadership; each new term runs all of them once at its start. */
export function startReconcilers({ reconcilers, source, log }: ReconcilersOptions): Reconcilers {
  const loops = reconcilers.map((reconciler) => new Loop(reconciler, log));
  const follow = ({ leading }: { leading: boolean }): void => {
    for (const loop of loops) {
      if (leading) loop.begin();
      else loop.end();
    }
  };
  const unfollow = source.onLeadership(follow);
  follow(source.leadership());
  return {
    nudge: (name) => loops.find((loop) => loop.name === name)?.nudge(),
    stop: async () => {
      unfollow();
      await Promise.all(loops.map((loop) => loop.end()));
    },
  };
}

/** One reconciler's timer, and the one run that is under way. */
class Loop {
  readonly name: string;
  private readonly reconciler: Reconciler;
  private readonly log: Logger;
  private term: AbortController | null = null;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | null = null;
  private nudged = false;
  private failure: string | null = null;

  constructor(reconciler: Reconciler, log: Logger) {
    this.name = reconciler.name;
    this.reconciler = reconciler;
    this.log = log;
  }

  begin(): void {
    if (this.term !== null) return;
    this.term = new AbortController();
    this.nudge();
  }

  /** Resolves when the run under way has ended. */
  async end(): Promise<void> {
    clearTimeout(this.timer);
    this.term?.abort(new Error("this coordinator stopped leading"));
    this.term = null;
    this.nudged = false;
    await this.running;
  }

  nudge(): void {
    if (this.term === null) return;
    this.nudged = true;
    if (this.running !== null) return;
    clearTimeout(this.timer);
    this.running = this.runAll().finally(() => {
      this.running = null;
      // Begun anew, or nudged, while the last run was ending.
      if (this.term !== null && this.nudged) this.nudge();
    });
  }

  private async runAll(): Promise<void> {
    const term = this.term;
    while (term !== null && this.term === term && this.nudged) {
      this.nudged = false;
      try {
        if ((await this.reconciler.run(term.signal)) && !term.signal.aborted) this.nudged = true;
        if (this.failure !== null) this.log.info(`${this.name} works again`);
        this.failure = null;
      } catch (error) {
        if (!term.signal.aborted) this.tell(error);
      }
    }
    if (term !== null && this.term === term) {
      this.timer = setTimeout(() => this.nudge(), this.reconciler.periodMs);
      this.timer.unref();
    }
  }

  private tell(error: unknown): void {
    const failure = error instanceof Error ? error.message : String(error);
    if (failure === this.failure) return;
    this.failure = failure;
    this.log.warn(`${this.name} failed; it is tried again`, { error, period_ms: this.reconciler.periodMs });
  }
}
