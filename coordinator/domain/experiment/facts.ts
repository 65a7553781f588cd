/** Project and submitter of an experiment: they never change, so that they are asked for once. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { ExperimentFacts } from "../access/access.ts";
import type { Sources } from "./find.ts";

/** Some hundred bytes each. */
const KEPT_MAX = 10_000;

/** Throws `experiment_not_found`. */
export function experimentFacts({ dispatcher, history }: Sources): (id: ExperimentId) => Promise<ExperimentFacts> {
  const kept = new Map<ExperimentId, ExperimentFacts>();
  return async (id) => {
    const view = dispatcher.experiment(id);
    if (view) return { experiment: id, project: view.project, actor: view.actor };
    const known = kept.get(id);
    if (known) return known;
    const facts = await history.facts(id);
    // It may have been submitted while the history was read.
    const late = facts ?? dispatcher.experiment(id);
    if (!late) throw new AiravataError("experiment_not_found", `there is no experiment ${id}, or you may not see it`);
    const found = { experiment: id, project: late.project, actor: late.actor };
    if (kept.size >= KEPT_MAX) kept.delete(kept.keys().next().value as ExperimentId);
    kept.set(id, found);
    return found;
  };
}
