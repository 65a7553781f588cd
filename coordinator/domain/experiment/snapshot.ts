/** What a watcher is shown in place of events that are gone: the experiments it asked for and the agents, as they are. */
import { AiravataError } from "../../../shared/error/error.ts";
import { PAGE_ITEMS_MAX } from "../../../shared/model/constants.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import { type AgentSources, listAgents } from "../agent/agents.ts";
import { type EventFilter, wantsExperiment } from "../event/event.ts";
import type { SnapshotSource } from "../event/hub.ts";
import { findRecord, type Sources } from "./find.ts";
import { listExperiments } from "./list.ts";
import type { ExperimentRecord } from "./record.ts";

/** Experiments that one snapshot names when the watcher asked for no particular ones. */
const SNAPSHOT_MAX = 200;

export function snapshotOf(sources: Sources & AgentSources): SnapshotSource {
  return async (filter) => {
    const { items, complete } = await experimentsOf(sources, filter);
    const wanted = filter.agents;
    // Who follows an experiment has no use for a list of thousands of agents.
    if (filter.experiments !== null && wanted === null) return { experiments: items, agents: [], complete };
    const seen = filter.rights?.agents ?? null;
    const visible = seen === null ? null : new Set([...seen].map(String));
    const page = await listAgents(sources, { limit: PAGE_ITEMS_MAX, cursor: undefined, visible });
    const agents = wanted === null ? page.items : page.items.filter(({ agent }) => wanted.has(agent));
    return { experiments: items, agents, complete: complete && page.nextCursor === null };
  };
}

async function experimentsOf(
  sources: Sources,
  filter: EventFilter,
): Promise<{ items: ExperimentRecord[]; complete: boolean }> {
  if (filter.experiments === null) {
    const project = filter.project ?? undefined;
    const visible = filter.rights?.visible ?? null;
    const query = { limit: SNAPSHOT_MAX, cursor: undefined, state: undefined, project, name: undefined, visible };
    const page = await listExperiments(sources, query);
    return { items: page.items, complete: page.nextCursor === null };
  }
  const items: ExperimentRecord[] = [];
  for (const id of filter.experiments) {
    const record = await recordIfAny(sources, id);
    if (record && wantsExperiment(filter, id, record.project)) items.push(record);
  }
  return { items, complete: true };
}

async function recordIfAny(sources: Sources, id: ExperimentId): Promise<ExperimentRecord | undefined> {
  try {
    return await findRecord(sources, id);
  } catch (error) {
    if (error instanceof AiravataError && error.code === "experiment_not_found") return undefined;
    throw error;
  }
}
