/** One task: show, attempts with the names of their agents, why it is where it is, cancel. */
import { BLAME_NAMES, Blame } from "../../../shared/model/attempt.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import { decodeInputs } from "../../../shared/spec/render.ts";
import type { Reason, Seen } from "../../dispatch/contract.ts";
import type { AgentStore } from "../../store/agents.ts";
import type { By } from "../access/by.ts";
import { agentNames } from "../agent/agents.ts";
import type { AgentFigures, SampledUsage } from "../agent/figures.ts";
import { decideExperiment } from "../experiment/decide.ts";
import type { Sources } from "../experiment/find.ts";
import type { Listed } from "../experiment/list.ts";
import { type AttemptRecord, listAttempts } from "./attempts.ts";
import { type FoundTask, findTask } from "./find.ts";

/** Throws `task_not_found`, `experiment_not_found`, `not_leading`. */
export function showTask(sources: Sources, id: string): Promise<FoundTask> {
  return findTask(sources, id);
}

/** What the attempt that runs uses, as its agent last measured; null when none runs or nothing was measured yet. */
export function usageOf(figures: AgentFigures, { key, view }: FoundTask): SampledUsage | null {
  if (view.startedAtMs === null || view.agent === null) return null;
  return figures.usage(view.agent, { ...key, attempt: view.attempt }) ?? null;
}

/** Values of the experiment's parameters and the task's own inputs, by name. */
export function inputsOf({ found, template, view }: FoundTask): Record<string, string> {
  return { ...found.definition.parameters, ...decodeInputs(template, view.index) };
}

/** Throws as `showTask` does, and `cursor_invalid`. */
export async function attemptsOfTask(
  sources: Sources,
  agents: AgentStore,
  id: string,
  query: { limit: number; cursor: string | undefined },
): Promise<Listed<AttemptRecord & { name: string | null }>> {
  const page = await listAttempts(sources, await findTask(sources, id), query);
  const ids = page.items.flatMap(({ agent }) => agent ?? ([] as AgentId[]));
  const names = await agentNames(agents, ids);
  const items = page.items.map((record) => ({
    ...record,
    name: record.agent === null ? null : (names.get(record.agent) ?? null),
  }));
  return { items, nextCursor: page.nextCursor };
}

/** Throws as `showTask` does. */
export async function explainTask(
  sources: Sources,
  id: string,
  seen: Seen,
): Promise<{ task: FoundTask; reasons: Reason[] }> {
  const task = await findTask(sources, id);
  const { experiment, template, index } = task.key;
  const reasons = sources.dispatcher.explain(experiment, template, index, seen);
  return { task, reasons: reasons.length > 0 ? reasons : await reasonsFromHistory(sources, task) };
}

/** Of a task that left the dispatcher's memory: how its last attempt ended. */
async function reasonsFromHistory({ history }: Sources, { key, view }: FoundTask): Promise<Reason[]> {
  const last = (await history.attempts(key, key.index, key.index)).at(-1);
  if (!last) return [{ code: "task_state", message: `It is ${view.state} and was never attempted.` }];
  const how = [
    // Of these two the code or signal says it; of all others it is what we did to the task, or what became of it.
    [Blame.NONE, Blame.EXIT, Blame.SIGNAL].includes(last.blame as never) ? "" : BLAME_NAMES[last.blame],
    last.exitCode >= 0 ? `exit code ${last.exitCode}` : "",
    last.signal > 0 ? `signal ${last.signal}` : "",
    last.detail ?? "",
  ].filter(Boolean);
  const message = `It is ${view.state} since attempt ${last.attempt} ended${how.length > 0 ? `: ${how.join(", ")}` : ""}.`;
  return [{ code: "task_state", message }];
}

/** Throws as `showTask` does, and `experiment_state_conflict`. */
export async function cancelTask(sources: Sources, id: string, reason: string | undefined, by: By): Promise<FoundTask> {
  const { key, template } = await findTask(sources, id);
  const tasks = [`${key.experiment}.${template.name}.${key.index}`];
  const { actor, ...origin } = by;
  await decideExperiment(sources, key.experiment, { kind: "cancel", reason, tasks, actor, origin });
  return findTask(sources, id);
}
