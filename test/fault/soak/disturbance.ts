/**
 * When each agent was kept from its coordinator, by what was done to it: the measure of whether it was rightly given up.
 * A coordinator's death by itself gives up nobody, for its successor waits; it only prolongs what an agent had already.
 */
import type { Fault } from "./chaos.ts";
import type { World } from "./world.ts";

/**
 * After a fault an agent needs this long until it has a session again: it starts (a second on a busy machine), waits
 * before it dials (up to 0.4 of the session's life), may meet a coordinator that does not answer, and dials again.
 */
const BACK_MS = 12_000;
/** A killed runner's task is reported with the agent's next session. */
const REPORTED_MS = 60_000;
/** An agent's last renewal is up to a quarter of the session's life old when the fault begins; and clocks are rounded. */
const AWAY_PART = 0.65;

interface Interval {
  fromMs: number;
  toMs: number;
}

export interface Disturbances {
  /** In order, none overlapping another. */
  ofAgent(agent: number): Interval[];
  runnerKilled(agent: number, atMs: number): boolean;
}

export function disturbancesOf(world: World, faults: Fault[]): Disturbances {
  const names = new Map(world.agents.map(({ id, name }) => [id, name]));
  const touches = (name: string, fault: Fault): boolean => fault.whom === name && / agent$/.test(fault.kind);
  return {
    ofAgent(agent) {
      const name = names.get(agent) ?? "";
      const intervals: Interval[] = [];
      for (const fault of [...faults].sort((a, b) => a.beganMs - b.beganMs)) {
        const last = intervals.at(-1);
        const toMs = (fault.endedMs ?? Number.POSITIVE_INFINITY) + BACK_MS;
        if (last !== undefined && fault.beganMs <= last.toMs) {
          if (touches(name, fault) || / (coordinator|postgres)$/.test(fault.kind))
            last.toMs = Math.max(last.toMs, toMs);
        } else if (touches(name, fault)) intervals.push({ fromMs: fault.beganMs, toMs });
      }
      return intervals;
    },
    runnerKilled(agent, atMs) {
      const name = names.get(agent);
      return faults.some(
        ({ kind, whom, beganMs }) =>
          kind === "kill runner" && whom === name && beganMs <= atMs && atMs - beganMs < REPORTED_MS,
      );
    },
  };
}

/** Whether an agent with these disturbances could have been silent for as long as costs it its leases. */
export function wasAway(intervals: Interval[], atMs: number, ttlMs: number): boolean {
  return intervals.some(({ fromMs, toMs }) => fromMs + ttlMs * AWAY_PART <= atMs && atMs <= toMs);
}
