/**
 * The hand of the soak: kills, stops and cuts, at chosen times, several at once, and mends each after a while. Which, whom
 * and for how long comes from a seed; what was done when is kept, for the verdict and for whoever reads a failure.
 */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../../simulation/engine/random.ts";
import type { FaultLink, LinkState } from "../../support/fault-link.ts";
import { runnerProcesses } from "../../support/fault-process.ts";
import { kill } from "../../support/fault-stack.ts";
import type { Part, SoakAgent, World } from "./world.ts";

/** How often each is chosen. */
const WEIGHTS = {
  "kill agent": 8,
  "kill coordinator": 6,
  "kill runner": 5,
  "kill supervisor": 2,
  "kill postgres": 2,
  "cut agent": 2,
  "half-open agent": 3,
  "freeze agent": 2,
  "slow agent": 1,
  "stop agent": 1,
  "cut coordinator": 1,
  "half-open coordinator": 1,
  "freeze coordinator": 1,
  "slow coordinator": 1,
  "stop coordinator": 1,
} as const;
export type FaultKind = keyof typeof WEIGHTS;

/** How long a dead process stays dead. */
const DEAD_MS_MAX = 2_500;
/** How long a link is broken or a process stopped: from what nobody notices to three times the life of a session. */
const BROKEN_MS_MIN = 500;
const BROKEN_MS_MAX = 15_000;

const STATES: Partial<Record<string, LinkState>> = {
  cut: "cut",
  "half-open": "half_open",
  freeze: "frozen",
  slow: "slow",
};

export interface Fault {
  kind: FaultKind;
  /** The part's name; of a runner or supervisor its agent's. */
  whom: string;
  /** By the wall clock, as the journal's times are. */
  beganMs: number;
  /** Undefined while it lasts. */
  endedMs?: number;
}

export class Chaos {
  readonly faults: Fault[] = [];
  readonly #world: World;
  readonly #random: Random;
  readonly #tell: (line: string) => void;
  /** Processes and links with a fault on them. */
  readonly #busy = new Set<unknown>();
  readonly #striking = new Set<Promise<void>>();
  #failure: unknown;

  constructor(world: World, random: Random, tell: (line: string) => void) {
    this.#world = world;
    this.#random = random;
    this.#tell = tell;
  }

  /** Strikes `perMinute` times a minute until `over`, then mends everything. Throws when a part ended by itself. */
  async run(perMinute: number, over: () => boolean): Promise<void> {
    const meanMs = 60_000 / perMinute;
    while (!over()) {
      // Exponential: sometimes two at once, sometimes a while of peace.
      const restMs = -Math.log(1 - this.#random.next()) * meanMs;
      for (const until = performance.now() + restMs; performance.now() < until && !over(); ) {
        await delay(Math.min(100, Math.max(1, until - performance.now())));
      }
      this.#noneDiedAlone();
      if (over()) break;
      const striking = this.#strike(this.#choose(), this.#random.next(), this.#random.next());
      this.#striking.add(striking);
      striking
        .catch((error: unknown) => {
          this.#failure ??= error;
        })
        .finally(() => this.#striking.delete(striking));
      if (this.#failure !== undefined) throw this.#failure;
    }
    await Promise.all(this.#striking);
    this.#noneDiedAlone();
  }

  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { kind } of this.faults) counts[kind] = (counts[kind] ?? 0) + 1;
    return counts;
  }

  #choose(): FaultKind {
    const kinds = Object.entries(WEIGHTS) as [FaultKind, number][];
    let left = this.#random.next() * kinds.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [kind, weight] of kinds) {
      left -= weight;
      if (left < 0) return kind;
    }
    return "kill agent";
  }

  async #strike(kind: FaultKind, whom: number, howLong: number): Promise<void> {
    const [verb, noun] = kind.split(" ") as [string, string];
    const { agents, coordinators, stack } = this.#world;
    const brokenMs = BROKEN_MS_MIN + howLong ** 1.5 * (BROKEN_MS_MAX - BROKEN_MS_MIN);
    if (noun === "postgres") return this.#during(kind, "postgres", stack.cluster, () => stack.cluster.crash());
    const parts: readonly Part[] = noun === "coordinator" ? coordinators : agents;
    const part = parts[Math.floor(whom * parts.length)] as Part;
    if (noun === "runner" || noun === "supervisor") {
      const { outputDir } = part as SoakAgent;
      return this.#during(kind, part.name, {}, async () => {
        const found = runnerProcesses(outputDir, noun === "runner" ? "run" : "supervise");
        const pid = found[Math.floor(howLong * found.length)];
        if (pid !== undefined) kill(pid);
      });
    }
    if (verb === "kill") {
      return this.#during(kind, part.name, part.process, async () => {
        await part.process.kill("SIGKILL");
        await delay(howLong * DEAD_MS_MAX);
        part.process.start();
      });
    }
    if (verb === "stop") {
      return this.#during(kind, part.name, part.process, async () => {
        part.process.signal("SIGSTOP");
        await delay(brokenMs);
        part.process.signal("SIGCONT");
      });
    }
    return this.#during(kind, part.name, part.link, () => broken(part.link, STATES[verb] as LinkState, brokenMs));
  }

  /** Does nothing when `target` has a fault on it already. */
  async #during(kind: FaultKind, whom: string, target: unknown, body: () => Promise<void>): Promise<void> {
    if (this.#busy.has(target)) return;
    this.#busy.add(target);
    const fault: Fault = { kind, whom, beganMs: Date.now() };
    this.faults.push(fault);
    try {
      await body();
    } finally {
      fault.endedMs = Date.now();
      this.#busy.delete(target);
      this.#tell(`${kind}: ${whom}, ${fault.endedMs - fault.beganMs} ms`);
    }
  }

  /** What we did not kill must live: a part that ends for another one's death would be started by nobody. */
  #noneDiedAlone(): void {
    const { agents, coordinators } = this.#world;
    for (const { process } of [...agents, ...coordinators]) {
      if (this.#busy.has(process)) continue;
      assert.equal(process.ended, undefined, `${process.command.name} ended by itself with ${process.ended}`);
    }
  }
}

async function broken(link: FaultLink, state: LinkState, forMs: number): Promise<void> {
  link.set(state);
  await delay(forMs);
  link.set("open");
}
