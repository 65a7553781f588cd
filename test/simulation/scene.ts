/**
 * What a seed's world is made of: how many coordinators and hosts, whose identity they have, how tasks, disks and clocks
 * behave. Drawn once; what goes wrong in it is drawn by chaos.ts.
 */
import type { AgentId } from "../../shared/model/ids.ts";
import type { DiskManner } from "./agent/disk.ts";
import { Host } from "./agent/host.ts";
import type { TaskManner } from "./agent/runners.ts";
import type { Switches } from "./bugs.ts";
import { Client } from "./client/client.ts";
import { Postgres } from "./database/postgres.ts";
import { Dispatcher } from "./dispatcher/dispatcher.ts";
import { CrashPoints } from "./engine/crashes.ts";
import type { World } from "./engine/world.ts";
import { Network } from "./network/connection.ts";
import type { Oracle } from "./oracle.ts";

export interface Scene {
  world: World;
  oracle: Oracle;
  network: Network;
  database: Postgres;
  crashes: CrashPoints;
  dispatchers: Dispatcher[];
  hosts: Host[];
  client: Client;
  manner: TaskManner;
  disks: DiskManner;
  ttlMs: number;
  /** A backup is being put back. */
  restoring: boolean;
}

export function makeScene(world: World, oracle: Oracle, switches: Switches): Scene {
  const { random } = world;
  const database = new Postgres(world, oracle, switches.database);
  const network = new Network(world);
  network.repeating = random.pick([0, 0, 0.1, 0.5]);
  const crashes = new CrashPoints(world);
  const ttlMs = random.pick([3_000, 3_000, 5_000]);
  const endedKept = random.pick([0, 0, 2, 1_000]);
  const retentionMs = random.pick([null, 0, 2_000]);
  const dispatchers = Array.from({ length: random.pick([1, 2, 2, 3]) }, (_, i) => {
    const manner = () => ({
      checkpointPeriodMs: random.between(500, 8_000),
      endedKept,
      retentionMs,
      leasesLeftOut: switches.checkpointWithoutLeases,
    });
    const { core: mutations, shell: bugs } = switches;
    return new Dispatcher({ world, oracle, database, network, crashes, ttlMs, mutations, bugs, manner }, i + 1);
  });
  const manner: TaskManner = {
    durationMsMax: random.pick([100, 1_000, 5_000, 20_000]),
    failing: random.pick([0, 0.1, 0.4]),
    diskFailing: random.pick([0, 0, 0.05]),
  };
  const disks: DiskManner = {
    failing: random.pick([0, 0, 0.1]),
    unreadable: random.pick([0, 0, 0.2]),
    slowMs: random.pick([3, 300, 2_000]),
    short: random.pick([0, 0.2]),
  };
  const preparing = { failing: random.pick([0, 0, 0.03]) };
  const count = random.pick([1, 2, 2, 3, 4]);
  // A key that was copied to another machine.
  const twins = count > 1 && random.chance(0.2);
  const hosts = Array.from({ length: count }, (_, i) => {
    // The first can run everything that is submitted.
    const cpus = i === 0 ? 2 + random.below(3) : 1 + random.below(3);
    const agent = (twins && i === count - 1 ? 1 : i + 1) as AgentId;
    const parts = { world, oracle, network, crashes, dispatchers, manner, disks, preparing, cpus };
    return new Host({ ...parts, mutations: switches.agent, number: i + 1, agent });
  });
  oracle.agents = hosts;
  const client = new Client(world, oracle, dispatchers);
  return {
    world,
    oracle,
    network,
    database,
    crashes,
    dispatchers,
    hosts,
    client,
    manner,
    disks,
    ttlMs,
    restoring: false,
  };
}
