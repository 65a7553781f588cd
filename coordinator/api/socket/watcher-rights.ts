/** What watchers may see, asked of the domain. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { AccessControl, ExperimentFacts } from "../../domain/access/access.ts";
import { eventRights } from "../../domain/access/rights.ts";
import type { ProjectSources } from "../../domain/project/projects.ts";
import type { WatcherSources } from "./watcher.ts";

export function watcherRights(
  access: AccessControl,
  { projects }: Pick<ProjectSources, "projects">,
  factsOf: (id: ExperimentId) => Promise<ExperimentFacts>,
): Pick<WatcherSources, "rights" | "sees"> {
  return {
    rights: ({ actor }) => eventRights(access, projects, actor),
    sees: async ({ actor }, experiments, isWanted) => {
      const seen = new Set<ExperimentId>();
      for (const experiment of experiments) {
        if (!isWanted()) break;
        const facts = await factsOf(experiment).catch(absent);
        if (facts && (await access.allowsExperiment(actor, facts, "view"))) seen.add(experiment);
      }
      return seen;
    },
  };
}

/** That there is none says nothing of whether it can be asked. */
function absent(error: unknown): undefined {
  if (error instanceof AiravataError && error.code === "experiment_not_found") return undefined;
  throw error;
}
