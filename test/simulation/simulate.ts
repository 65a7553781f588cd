/**
 * One simulation: a seed makes a world, lets it live through faults while people submit and decide, then heals everything
 * and demands that all of it ends. Safety is judged at every moment by the oracle, liveness at the end.
 */
import { type Mutations, NO_MUTATIONS } from "../../coordinator/dispatch/mutations.ts";
import { Host } from "./agent/host.ts";
import { planChaos, type Scene } from "./chaos.ts";
import { Client } from "./client/client.ts";
import { type DatabaseBugs, Postgres } from "./database/postgres.ts";
import { Dispatcher } from "./dispatcher/dispatcher.ts";
import { Violation, World } from "./engine/world.ts";
import { Network } from "./network/connection.ts";
import { Oracle } from "./oracle.ts";

/** Time of faults, and time for everything to end after them: user retries wait 2 s, infrastructure retries up to 60 s. */
const CHAOS_MS = 25_000;
const HEALED_MS = 180_000;

export type Bug = keyof Mutations | keyof DatabaseBugs;

export interface SimulationOptions {
  bug?: Bug;
  print?: (line: string) => void;
}

export interface SimulationResult {
  seed: number;
  /** What was broken, or null. */
  violation: Violation | null;
  events: number;
  endedAtMs: number;
  figures: Oracle["figures"];
}

export function simulate(seed: number, options: SimulationOptions = {}): SimulationResult {
  const world = new World(seed, options.print ?? null);
  const oracle = new Oracle(world);
  let violation: Violation | null = null;
  try {
    play(world, oracle, options.bug);
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    violation = error;
  }
  return { seed, violation, events: world.events, endedAtMs: world.nowMs, figures: oracle.figures };
}

function play(world: World, oracle: Oracle, bug: Bug | undefined): void {
  const { random } = world;
  const bugs = { noTermCheck: bug === "noTermCheck", termCheckWithoutLock: bug === "termCheckWithoutLock" };
  const mutations = bug !== undefined && bug in NO_MUTATIONS ? { ...NO_MUTATIONS, [bug]: true } : NO_MUTATIONS;
  const database = new Postgres(world, oracle, bugs);
  const network = new Network(world);
  const ttlMs = random.pick([3_000, 3_000, 5_000]);
  const dispatchers = Array.from({ length: random.chance(0.7) ? 2 : 1 }, (_, i) => {
    return new Dispatcher({ world, oracle, database, network, ttlMs, mutations }, i + 1);
  });
  const manner = {
    durationMsMax: random.pick([100, 1_000, 5_000, 20_000]),
    failing: random.pick([0, 0.1, 0.4]),
    diskFailing: random.pick([0, 0, 0.05]),
  };
  const preparing = { failing: random.pick([0, 0, 0.03]) };
  const hosts = Array.from({ length: random.pick([1, 2, 2, 3, 4]) }, (_, i) => {
    // The first can run everything that is submitted.
    const cpus = i === 0 ? 2 + random.below(3) : 1 + random.below(3);
    return new Host({ world, oracle, network, dispatchers, manner, preparing, cpus }, i + 1);
  });
  oracle.agents = hosts;
  const client = new Client(world, oracle, dispatchers);
  const scene: Scene = { world, network, database, dispatchers, hosts, client, manner };

  const submits = 4 + random.below(12);
  for (let i = 0; i < submits; i++)
    world.after(random.between(0, CHAOS_MS * random.pick([0.1, 0.7])), () => client.submit());
  const decisions = random.below(16);
  for (let i = 0; i < decisions; i++) world.after(random.between(1_000, CHAOS_MS), () => client.decide());
  planChaos(scene, CHAOS_MS);

  world.run(CHAOS_MS);
  world.trace("chaos", () => "ends: everything is healed");
  heal(scene);
  world.run(CHAOS_MS + HEALED_MS, () => allEnded(scene, oracle));
  checkEnd(scene, oracle);
}

/** No new faults, no network that loses; what is down comes up, what was paused or drained is asked to go on. */
function heal({ world, database, dispatchers, hosts, client, manner }: Scene): void {
  database.answersToLose = 0;
  // However much is left, one agent must get through it in time.
  manner.durationMsMax = 50;
  const again = (): void => {
    for (const dispatcher of dispatchers) dispatcher.start();
    for (const host of hosts) host.start();
    for (const host of hosts) host.receive({ type: "hold", reason: null });
    client.resumeAll();
    world.after(2_000, again);
  };
  again();
}

function allEnded({ world, hosts, client }: Scene, oracle: Oracle): boolean {
  if (world.events % 64 !== 0 || client.waiting > 0) return false;
  for (const { endedAtMs } of oracle.ledger.experiments.values()) if (endedAtMs === null) return false;
  return hosts.every((host) => host.isIdle);
}

function checkEnd({ world, database, dispatchers, hosts, client }: Scene, oracle: Oracle): void {
  if (client.waiting > 0) world.fail("everything ends", `${client.waiting} submits were never answered`);
  oracle.finished(client.accepted);
  for (const host of hosts) {
    if (host.isIdle) continue;
    const keys = [...(host.state?.leases.values() ?? [])].map((lease) => `${lease.key} in phase ${lease.phase}`);
    world.fail("everything ends", `${host.name} still has ${keys.join(", ") || "records of its runners"}`);
  }
  for (const { reign } of dispatchers) if (reign) oracle.live(reign.core.ledger);
  oracle.replay(database.durable);
}
