/**
 * What becomes of somebody's unfinished experiments when he may not submit to their project any more, whether he was taken
 * out of it, a group of his was, or his account was disabled: kept, paused or canceled, as the project says. It is asked
 * what he may, not what was changed, so that no way of losing it is forgotten.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import { type ActorId, OPERATOR_ACTOR, type ProjectId, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import type { Clock } from "../../../shared/time/clock.ts";
import type { Dispatcher, UnfinishedExperiment } from "../../dispatch/contract.ts";
import type { OnRemoval, ProjectStore, StoredProject } from "../../store/projects.ts";
import type { RemovalStore, Submitter } from "../../store/removals.ts";
import type { AccessControl } from "../access/access.ts";
import type { By } from "../access/by.ts";

export interface RemovalSources {
  dispatcher: Pick<Dispatcher, "unfinished" | "decide">;
  projects: Pick<ProjectStore, "list">;
  removals: RemovalStore;
  access: Pick<AccessControl, "allows">;
  /** The dispatcher's, by which experiments are submitted. */
  clock: Pick<Clock, "wall">;
}

/** Who never was a member: the system, and the holder of the operator's token. */
const OURSELVES: readonly ActorId[] = [SYSTEM_ACTOR, OPERATOR_ACTOR];
const BY_SYSTEM: By = { actor: SYSTEM_ACTOR, via: "system", address: null, request: null };
const PAST = { pause: "paused", cancel: "canceled" } as const;

/** May be cut off anywhere: what was stopped is asked for again. Throws `authorization_unavailable`, `not_leading`. */
export async function stopWorkOfRemoved(sources: RemovalSources, signal: AbortSignal): Promise<void> {
  const { dispatcher, projects, removals } = sources;
  const policies = (await projects.list()).filter(({ onRemoval }) => onRemoval !== "keep");
  const noted = new Map((await removals.noted()).map((row) => [keyOf(row), row]));
  if (policies.length === 0 && noted.size === 0) return;
  const byProject = new Map(policies.map((project) => [project.project, project]));
  // Before they are read: what is submitted while the others are stopped is later than the note.
  const sinceMs = sources.clock.wall();
  const unfinished = dispatcher.unfinished(new Set(byProject.keys()));
  const work = Map.groupBy(
    unfinished.filter(({ actor }) => !OURSELVES.includes(actor)),
    keyOf,
  );
  const asked = [...new Map([...noted.values(), ...unfinished].map((one) => [keyOf(one), one])).values()];
  const disabled = await removals.disabled([...new Set(asked.map(({ actor }) => actor))]);
  for (const submitter of asked) {
    if (signal.aborted) return;
    if (OURSELVES.includes(submitter.actor)) continue;
    const before = noted.get(keyOf(submitter));
    if (!disabled.has(submitter.actor) && (await maySubmit(sources, submitter))) {
      if (before) await removals.forget(submitter);
      continue;
    }
    // What was submitted before he was noted was dealt with; what raced with his removal was not.
    const theirs = (work.get(keyOf(submitter)) ?? []).filter(
      ({ submittedAtMs }) => submittedAtMs >= (before?.sinceMs ?? 0),
    );
    const project = byProject.get(submitter.project);
    if (project && theirs.length > 0) await stop(sources, { ...submitter, sinceMs }, project, theirs);
  }
}

function maySubmit({ access }: RemovalSources, { project, actor }: Submitter): Promise<boolean> {
  return access.allows(actor, { type: "project", id: String(project) }, "submit");
}

async function stop(
  { dispatcher, removals }: RemovalSources,
  { project, actor, sinceMs }: Submitter & { sinceMs: number },
  { name, onRemoval }: StoredProject,
  theirs: UnfinishedExperiment[],
): Promise<void> {
  const kind = onRemoval as Exclude<OnRemoval, "keep">;
  const names = await removals.names({ project, actor });
  const cause = names.by === null ? "" : `; ${names.by} took that away`;
  const reason = `${PAST[kind]} because ${names.actor} may not submit to project ${name} any more${cause}`;
  const stopped: UnfinishedExperiment["experiment"][] = [];
  for (const { experiment, state } of theirs) {
    if (kind === "pause" && state === "PAUSED") continue;
    try {
      await dispatcher.decide({ kind, experiment, actor: SYSTEM_ACTOR, scope: null, reason, value: null });
      stopped.push(experiment);
    } catch (error) {
      // It ended meanwhile, or somebody else stopped it.
      const known: string[] = ["experiment_state_conflict", "experiment_not_found"];
      if (!(error instanceof AiravataError && known.includes(error.code))) throw error;
    }
  }
  await removals.note({ project, actor, sinceMs }, stopped, `experiment.${kind}`, reason, BY_SYSTEM);
}

function keyOf({ project, actor }: { project: ProjectId; actor: ActorId }): string {
  return `${project} ${actor}`;
}
