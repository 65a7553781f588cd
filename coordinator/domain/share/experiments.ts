/**
 * Sharing of single experiments. Who was given one may not pass it on: that may whoever decides about its project's
 * experiments, and whoever submitted it, for as long as he may submit there.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { ExperimentFacts } from "../access/access.ts";
import type { By } from "../access/by.ts";
import { type GranteeName, type GrantSources, type Share, type Shared, share, unshare } from "./share.ts";

export interface SharedExperimentSources extends GrantSources {
  /** Throws `experiment_not_found`. */
  facts(id: ExperimentId): Promise<ExperimentFacts>;
}

/** Null takes it away. Throws `experiment_not_found`, `forbidden`, `user_not_found`, `group_not_found`. */
export async function shareExperiment(
  sources: SharedExperimentSources,
  id: ExperimentId,
  who: GranteeName,
  access: "read" | "write" | null,
  by: By,
): Promise<Share[]> {
  const facts = await sources.facts(id);
  await requireMaySay(sources, facts, by);
  const resource = { type: "experiment", id: String(id) } as const;
  const subject = { type: "project", id: String(facts.project) };
  // Not with the experiment itself: a relationship for each of them would be what the engine holds most of.
  const thing: Shared = { ...resource, project: facts.project, beside: { resource, relation: "project", subject } };
  return access === null ? unshare(sources, thing, who, by) : share(sources, thing, who, access, by);
}

async function requireMaySay({ access }: SharedExperimentSources, facts: ExperimentFacts, by: By): Promise<void> {
  const project = { type: "project", id: String(facts.project) };
  const permission = facts.actor === by.actor ? "submit" : "operate";
  if (await access.allows(by.actor, project, permission)) return;
  throw new AiravataError(
    "forbidden",
    `experiment ${facts.experiment} is shared by whoever submitted it and by the operators of its project; you were given it, and may not pass it on`,
  );
}
