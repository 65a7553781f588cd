/**
 * Tells the dispatcher the weights and limits that the database has. Who changes one tells it at once; this is for the
 * change of a process that was gone before it could, and for what was committed while another one was loading.
 */
import { type ProjectSources, tellProjects } from "../domain/project/projects.ts";
import type { Reconciler } from "./reconcilers.ts";

/** One short query. */
const PERIOD_MS = 30_000;

export function projectsReconciler(sources: ProjectSources): Reconciler {
  return {
    name: "projects",
    periodMs: PERIOD_MS,
    run: async () => {
      await tellProjects(sources);
      return false;
    },
  };
}
