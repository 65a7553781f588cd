/** What somebody who watches may see, by the names that events carry. */
import type { ActorId, AgentId, ExperimentId } from "../../../shared/model/ids.ts";
import type { ProjectStore } from "../../store/projects.ts";
import type { EventRights } from "../event/event.ts";
import { type AccessControl, numbersOf } from "./access.ts";

/** Null: everything. Throws `authorization_unavailable`. */
export async function eventRights(
  access: AccessControl,
  projects: Pick<ProjectStore, "list">,
  actor: ActorId,
): Promise<EventRights | null> {
  const [experiments, agents] = await Promise.all([
    access.visibleExperiments(actor),
    access.visible(actor, "agent", "view"),
  ]);
  if (experiments === null) return null;
  const known = await projects.list();
  const seen = known.filter(({ project }) => experiments.projects.has(String(project)));
  return {
    projects: new Set(seen.map(({ name }) => name)),
    experiments: new Set([...experiments.experiments].map(Number) as ExperimentId[]),
    agents: agents && new Set(numbersOf(agents) as AgentId[]),
    visible: experiments,
  };
}
