/**
 * What goes wrong, and when. Every seed enables some kinds of faults and not others, each at its own rate: a world in
 * which everything fails all the time never comes far enough to show the rare mistakes.
 */
import type { Host } from "./agent/host.ts";
import type { TaskManner } from "./agent/runners.ts";
import type { Client } from "./client/client.ts";
import type { Postgres } from "./database/postgres.ts";
import type { Dispatcher } from "./dispatcher/dispatcher.ts";
import type { World } from "./engine/world.ts";
import type { Network } from "./network/connection.ts";

export interface Scene {
  world: World;
  network: Network;
  database: Postgres;
  dispatchers: Dispatcher[];
  hosts: Host[];
  client: Client;
  manner: TaskManner;
}

type Fault = (scene: Scene) => void;

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
  "dispatcher stop": (scene) => scene.world.random.pick(scene.dispatchers).stop(pause(scene, 100, 12_000)),
  "hand over": (scene) => scene.world.random.pick(scene.dispatchers).handOver(),
  "operator drains": (scene) => {
    const host = scene.world.random.pick(scene.hosts);
    const reign = scene.dispatchers.find(
      (dispatcher) => dispatcher.reign !== null && dispatcher.process.running,
    )?.reign;
    reign?.handle({ type: "drain", agent: host.agent, reason: "an operator asks" });
  },
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
    host.receive({ type: "hold", reason: "the disk is full" });
    scene.world.after(pause(scene, 100, 4_000), () => host.receive({ type: "hold", reason: null }));
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
  "connection reset": (scene) => {
    const open = scene.network.connections.filter((connection) => connection.carries);
    if (open.length > 0) scene.world.random.pick(open).reset();
  },
  "connection forgotten": (scene) => {
    const open = scene.network.connections.filter((connection) => connection.carries);
    if (open.length > 0) scene.world.random.pick(open).vanish();
  },
};

const PERIODS_MS: readonly [number, number][] = [
  [100, 600],
  [600, 2_000],
  [2_000, 5_000],
];

/** Plans the faults of a seed up to a time. */
export function planChaos(scene: Scene, untilMs: number): void {
  const { world } = scene;
  const { random } = world;
  const names = Object.keys(FAULTS).filter(() => random.chance(0.4));
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
