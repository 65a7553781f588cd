/**
 * One simulation: a seed makes a world, lets it live through faults while people submit and decide, then heals everything
 * and demands that all of it ends. Safety is judged at every moment by the oracle, liveness at the end.
 */
import { type Bug, switchesOf } from "./bugs.ts";
import { planChaos } from "./chaos.ts";
import { Violation, World } from "./engine/world.ts";
import { Oracle } from "./oracle.ts";
import { makeScene, type Scene } from "./scene.ts";

/** Raised with every change of what a seed means: seeds that are kept name the version they were found in. */
export const WORLD_VERSION = 4;

/**
 * Time of faults, and time for everything to end after them: user retries wait 2 s, infrastructure retries up to 60 s, and
 * where a clock was set back a wait is bounded by the 300 s of the longest backoff.
 */
const CHAOS_MS = 25_000;
const HEALED_MS = 400_000;

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

export async function simulate(seed: number, options: SimulationOptions = {}): Promise<SimulationResult> {
  const world = new World(seed, options.print ?? null);
  const oracle = new Oracle(world);
  let violation: Violation | null = null;
  try {
    await play(world, oracle, options.bug);
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    violation = error;
  }
  return { seed, violation, events: world.events, endedAtMs: world.nowMs, figures: oracle.figures };
}

async function play(world: World, oracle: Oracle, bug: Bug | undefined): Promise<void> {
  const { random } = world;
  const scene = makeScene(world, oracle, switchesOf(bug));
  const submits = 4 + random.below(12);
  for (let i = 0; i < submits; i++)
    world.after(random.between(0, CHAOS_MS * random.pick([0.1, 0.7])), () => scene.client.submit());
  const decisions = random.below(16);
  for (let i = 0; i < decisions; i++) world.after(random.between(1_000, CHAOS_MS), () => scene.client.decide());
  planChaos(scene, CHAOS_MS);

  await world.run(CHAOS_MS);
  world.trace("chaos", () => "ends: everything is healed");
  heal(scene);
  await world.run(CHAOS_MS + HEALED_MS, () => allEnded(scene, oracle));
  checkEnd(scene, oracle);
}

/** No new faults, no network that loses; what is down comes up, what was paused or drained is asked to go on. */
function heal({ world, database, crashes, dispatchers, hosts, client, manner, disks }: Scene): void {
  database.answersToLose = 0;
  crashes.heal();
  Object.assign(disks, { failing: 0, unreadable: 0, short: 0, slowMs: 1 });
  // However much is left, one agent must get through it in time.
  manner.durationMsMax = 50;
  for (const host of hosts) host.disk.full = false;
  // Of two machines with one identity only one works at a time: an operator takes the other one away.
  const known = new Set<number>();
  for (const host of hosts) {
    if (known.has(host.agent)) host.remove();
    known.add(host.agent);
  }
  const again = (): void => {
    for (const dispatcher of dispatchers) dispatcher.start();
    for (const host of hosts) host.start();
    for (const host of hosts) host.hold("disk", null);
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
  for (const { reign } of dispatchers) {
    if (!reign) continue;
    oracle.live(reign.core.ledger);
    oracle.atRest(reign.core);
  }
  oracle.replay(database.durable);
}
