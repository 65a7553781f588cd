/** What watchers may see, asked of the domain. */
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { AccessControl, ExperimentFacts } from "../../domain/access/access.ts";
import { eventRights } from "../../domain/access/rights.ts";
import type { ProjectSources } from "../../domain/project/projects.ts";
import type { WatcherOptions } from "./watchers.ts";

export function watcherRights(
  access: AccessControl,
  { projects }: Pick<ProjectSources, "projects">,
  factsOf: (id: ExperimentId) => Promise<ExperimentFacts>,
): Pick<WatcherOptions, "rights" | "sees"> {
  return {
    rights: ({ actor }) => eventRights(access, projects, actor),
    sees: async ({ actor }, experiments) => {
      const seen = new Set<ExperimentId>();
      for (const experiment of experiments) {
        const facts = await factsOf(experiment).catch(() => undefined);
        if (facts && (await access.allowsExperiment(actor, facts, "view"))) seen.add(experiment);
      }
      return seen;
    },
  };
}
