/**
 * What goes wrong, and when. Every seed enables some kinds of faults and not others, each at its own rate: a world in
 * which everything fails all the time never comes far enough to show the rare mistakes.
 */
import type { Reign } from "./dispatcher/reign.ts";
import type { Scene } from "./scene.ts";

type Fault = (scene: Scene) => void;

function leaderOf(scene: Scene): Reign | null {
  return scene.dispatchers.find(({ reign, process }) => reign !== null && process.running)?.reign ?? null;
}

function pause(scene: Scene, low: number, high: number): number {
  // Short ones are common, long ones not rare.
  const { random } = scene.world;
  return random.chance(0.5) ? random.between(low, low + (high - low) / 6) : random.between(low, high);
}

const FAULTS: Record<string, Fault> = {
  "dispatcher crash": (scene) => {
    const dispatcher = scene.world.random.pick(scene.dispatchers);
    dispatcher.crash();
    scene.world.after(pause(scene, 50, 5_000), () => dispatcher.start());
  },
  "dispatcher stop": (scene) => scene.world.random.pick(scene.dispatchers).stop(pause(scene, 100, 12_000), false),
  // Not long enough to be deposed, while some have to come back to it.
  "leader stalls": (scene) => {
    const { random } = scene.world;
    for (const connection of scene.network.connections)
      if (connection.carries && random.chance(0.5)) connection.reset();
    const leader = scene.dispatchers.find(({ reign }) => reign !== null);
    scene.world.after(random.between(0, 300), () => leader?.stop(random.between(1_000, 3_800), false));
  },
  "dispatcher sleeps": (scene) => scene.world.random.pick(scene.dispatchers).stop(pause(scene, 500, 20_000), true),
  // A laptop with the leader and one of its agents on it, for as long as another one needs to give their work away.
  "machine sleeps": (scene) => {
    const { random } = scene.world;
    const leader = scene.dispatchers.find(({ reign }) => reign !== null)?.process;
    const beside = scene.network.connections.filter(
      ({ carries, dispatcher }) => carries && dispatcher.process === leader,
    );
    if (!leader || beside.length === 0) return;
    const { process } = random.pick(beside).agent;
    const durationMs = random.between(8_000, 24_000);
    process.machine = leader.machine;
    for (const one of [leader, process]) if (one.running) one.stop(durationMs, true, () => {});
  },
  "clock is set": (scene) => {
    const { random } = scene.world;
    const byMs = random.pick([-1, 1]) * random.pick([100, 1_500, 2_500, 30_000, 3_600_000]) * random.between(0.5, 1);
    random.pick([...scene.dispatchers, ...scene.hosts]).process.stepWall(byMs);
  },
  "hand over": (scene) => scene.world.random.pick(scene.dispatchers).handOver(),
  "operator drains": (scene) => {
    const host = scene.world.random.pick(scene.hosts);
    leaderOf(scene)?.handle({ type: "drain", agent: host.agent, reason: "an operator asks" });
  },
  recall: (scene) => leaderOf(scene)?.recall(scene.world.random.pick(scene.hosts).agent),
  "database cut": (scene) => {
    scene.database.cut(scene.world.random.pick(scene.dispatchers).process, pause(scene, 100, 30_000));
  },
  // Just long enough for a successor: what it had sent arrives when the other one has barely begun.
  "leader cut off": (scene) => {
    const leader = scene.dispatchers.find(({ reign }) => reign !== null);
    if (leader) scene.database.cut(leader.process, scene.world.random.between(4_500, 8_000));
  },
  "database slow": (scene) => scene.database.slowDown(pause(scene, 200, 9_000)),
  "database restart": (scene) => scene.database.restart(pause(scene, 50, 3_000)),
  "backend killed": (scene) => scene.database.killBackends(scene.world.random.pick(scene.dispatchers).process),
  "answer lost": (scene) => {
    scene.database.answersToLose++;
  },
  "agent killed": (scene) => {
    const host = scene.world.random.pick(scene.hosts);
    host.kill();
    scene.world.after(pause(scene, 20, 9_000), () => host.start());
  },
  "agent stop": (scene) => scene.world.random.pick(scene.hosts).stop(pause(scene, 100, 9_000), false),
  "host sleeps": (scene) => scene.world.random.pick(scene.hosts).stop(pause(scene, 500, 12_000), true),
  "host lost": (scene) => {
    const host = scene.world.random.pick(scene.hosts);
    host.lose();
    scene.world.after(pause(scene, 500, 9_000), () => host.start());
  },
  "agent drains": (scene) => {
    scene.world.random.pick(scene.hosts).receive({ type: "drain", reason: "it is asked to" });
  },
  "agent holds": (scene) => {
    const host = scene.world.random.pick(scene.hosts);
    host.hold("disk", "the disk is nearly full");
    scene.world.after(pause(scene, 100, 4_000), () => host.hold("disk", null));
  },
  "disk full": (scene) => {
    const { disk } = scene.world.random.pick(scene.hosts);
    disk.full = true;
    scene.world.after(pause(scene, 100, 8_000), () => {
      disk.full = false;
    });
  },
  // With everything that was under way, and longer than any agent trusts its leases.
  restore: (scene) => {
    const { world, dispatchers, database, client, oracle, network } = scene;
    const { random } = world;
    if (scene.restoring || (oracle.timeline > 1 && random.chance(0.8))) return;
    scene.restoring = true;
    const downMs = scene.ttlMs * 1.2 + random.between(0, 3_000);
    for (const dispatcher of dispatchers) dispatcher.takeDown(downMs);
    world.after(downMs - 100, () => {
      const { seq } = database.durable;
      network.undoAll();
      database.restore(Math.max(0, seq - random.below(random.pick([2, 20, 200]))));
      client.restored();
      scene.restoring = false;
    });
  },
  "link cut": (scene) => {
    const { random } = scene.world;
    const host = random.pick(scene.hosts);
    const durationMs = pause(scene, 100, 14_000);
    const both = random.chance(0.5);
    for (const dispatcher of both ? scene.dispatchers : [random.pick(scene.dispatchers)]) {
      scene.network.cut(host.process, dispatcher.process, durationMs);
    }
  },
  // Long enough to be taken for lost while it works on.
  "agent cut off": (scene) => {
    const { random } = scene.world;
    const host = random.pick(scene.hosts);
    const durationMs = random.between(3_000, 14_000);
    for (const dispatcher of scene.dispatchers) scene.network.cut(host.process, dispatcher.process, durationMs);
  },
  // What is said on one way arrives late, or not at all, while the other one works.
  "link lame": (scene) => {
    const { random } = scene.world;
    const { process } = random.pick(scene.hosts);
    const durationMs = random.between(500, 9_000);
    for (const dispatcher of scene.dispatchers) {
      const slowness = random.chance(0.7) ? random.between(0.1, 0.9) * scene.ttlMs : 0;
      // It fades: at once its end would be noticed.
      for (const part of [1, 2, 3]) {
        const laterMs = part * 500;
        scene.world.after(laterMs, () => {
          if (slowness === 0) return;
          scene.network.slowDown(process, dispatcher.process, "down", (slowness * part) / 3, durationMs + 2_000);
        });
      }
      const delayMs = random.between(1_000, 3_000);
      scene.world.after(delayMs, () => scene.network.cut(process, dispatcher.process, durationMs, ["up"]));
    }
  },
  "connection reset": (scene) => {
    const open = scene.network.connections.filter((connection) => connection.carries);
    if (open.length > 0) scene.world.random.pick(open).reset();
  },
  "connection forgotten": (scene) => {
    const open = scene.network.connections.filter((connection) => connection.carries);
    if (open.length > 0) scene.world.random.pick(open).vanish();
  },
};

/** What undoes so much that little else would be seen. */
const RARE: Record<string, number> = { restore: 0.1, "host lost": 0.25, "disk full": 0.25 };

const PERIODS_MS: readonly [number, number][] = [
  [100, 600],
  [600, 2_000],
  [2_000, 5_000],
];

/** Plans the faults of a seed up to a time. */
export function planChaos(scene: Scene, untilMs: number): void {
  const { world } = scene;
  const { random } = world;
  const names = Object.keys(FAULTS).filter((name) => random.chance(RARE[name] ?? 0.4));
  // A storm, in which little is finished, or single faults into the midst of work.
  const periodMs = random.between(...random.pick(PERIODS_MS));
  world.trace("chaos", () => `every ${Math.round(periodMs)} ms: ${names.join(", ") || "nothing"}`);
  const next = (): void => {
    world.after(random.between(0, 2 * periodMs), () => {
      if (world.nowMs >= untilMs) return;
      const name = random.pick(names);
      world.trace("chaos", () => name);
      (FAULTS[name] as Fault)(scene);
      next();
    });
  };
  if (names.length > 0) next();
}
