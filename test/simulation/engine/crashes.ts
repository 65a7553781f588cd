/**
 * Deaths at named points of the shells: between what a random moment would hardly ever hit, a commit and what follows
 * from it, a write and what was to be told of it. Each seed enables some points, each with a chance of its own.
 */
import type { World } from "./world.ts";

/** Points that are passed all the time get a small chance, rare ones a large one, so that each is tried. */
const POINTS = {
  "coordinator: before an append is sent": 0.004,
  "coordinator: an append is on its way": 0.004,
  "coordinator: an append was answered": 0.004,
  "coordinator: between two effects": 0.001,
  "coordinator: won, nothing loaded": 0.25,
  "coordinator: loaded, not renewed": 0.25,
  "coordinator: renewed, nobody welcomed": 0.25,
  "coordinator: a checkpoint is encoded": 0.05,
  "coordinator: a checkpoint is on its way": 0.05,
  "coordinator: a checkpoint was written": 0.05,
  "coordinator: experiments are being archived": 0.1,
  "agent: between two effects": 0.0008,
  "agent: before a start": 0.004,
  "agent: started, nothing noted": 0.004,
  "agent: exited, nothing collected": 0.004,
  "agent: reports are sent": 0.006,
  "agent: the outbox begins to write": 0.03,
  "agent: the outbox was written": 0.03,
  "agent: the outbox is being rewritten": 0.1,
  "agent: outbox read, nothing adopted": 0.2,
} as const;

export type CrashPoint = keyof typeof POINTS;

/** Deaths in one world: enough for a takeover from each, few enough that work goes on between them. */
const DEATHS_MAX = 16;

export class CrashPoints {
  private readonly world: World;
  private readonly chances = new Map<CrashPoint, number>();
  private left: number;

  constructor(world: World) {
    this.world = world;
    const { random } = world;
    const share = random.pick([0, 0.1, 0.3, 0.8]);
    const strength = random.pick([0.3, 1, 3]);
    for (const [name, chance] of Object.entries(POINTS)) {
      if (random.chance(share)) this.chances.set(name as CrashPoint, Math.min(0.5, chance * strength));
    }
    this.left = 1 + random.below(DEATHS_MAX);
  }

  /** Whether its process dies here. */
  hit(point: CrashPoint): boolean {
    const chance = this.chances.get(point);
    if (chance === undefined || this.left === 0 || !this.world.random.chance(chance)) return false;
    this.left--;
    this.world.trace("chaos", () => `death: ${point}`);
    return true;
  }

  /** No more of them. */
  heal(): void {
    this.left = 0;
  }
}
