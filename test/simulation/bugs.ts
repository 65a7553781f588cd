/**
 * Deliberate bugs by name, and the switches that turn one on: in the coordinator's core, in the agent's core, and in the
 * models where the simulation stands in for code outside of the cores.
 */
import { type AgentMutations, NO_MUTATIONS as NO_AGENT_MUTATIONS } from "../../agent/lease/mutations.ts";
import { type Mutations, NO_MUTATIONS } from "../../coordinator/dispatch/mutations.ts";
import type { DatabaseBugs } from "./database/postgres.ts";
import type { ShellBugs } from "./dispatcher/dispatcher.ts";

/** Of the models and shells. */
const MODEL_BUGS = {
  noTermCheck: false,
  termCheckWithoutLock: false,
  graceFromTakeover: false,
  checkpointWithoutLeases: false,
  partitionDroppedEarly: false,
};

/** A sleep has two sides: the coordinator's and the agent's switch have one name there. */
type AgentBug = Exclude<keyof AgentMutations, "sleepUnnoticed"> | "agentSleepUnnoticed";

export type Bug = keyof Mutations | AgentBug | keyof typeof MODEL_BUGS;

export interface Switches {
  core: Mutations;
  agent: AgentMutations;
  database: DatabaseBugs;
  shell: ShellBugs;
  checkpointWithoutLeases: boolean;
}

/** All off but that one. */
export function switchesOf(bug: Bug | undefined): Switches {
  const on = (name: Bug): boolean => name === bug;
  return {
    core: bug !== undefined && bug in NO_MUTATIONS ? { ...NO_MUTATIONS, [bug]: true } : NO_MUTATIONS,
    agent: { ...NO_AGENT_MUTATIONS, ...agentSwitch(bug) },
    database: {
      noTermCheck: on("noTermCheck"),
      termCheckWithoutLock: on("termCheckWithoutLock"),
      partitionDroppedEarly: on("partitionDroppedEarly"),
    },
    shell: { graceFromTakeover: on("graceFromTakeover") },
    checkpointWithoutLeases: on("checkpointWithoutLeases"),
  };
}

function agentSwitch(bug: Bug | undefined): Partial<AgentMutations> {
  if (bug === "agentSleepUnnoticed") return { sleepUnnoticed: true };
  return bug !== undefined && bug !== "sleepUnnoticed" && bug in NO_AGENT_MUTATIONS ? { [bug]: true } : {};
}

/** Every bug there is: all switches of both cores and of the models. */
export const BUGS: readonly Bug[] = [
  ...(Object.keys(NO_MUTATIONS) as (keyof Mutations)[]),
  ...(Object.keys(NO_AGENT_MUTATIONS) as (keyof AgentMutations)[]).map((name) =>
    name === "sleepUnnoticed" ? "agentSleepUnnoticed" : name,
  ),
  ...(Object.keys(MODEL_BUGS) as (keyof typeof MODEL_BUGS)[]),
];
