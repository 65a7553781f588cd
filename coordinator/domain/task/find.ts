/** Names of tasks, `17.dock.42` or `17.0.42`, and what is known of one. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { TemplateDefinition } from "../../../shared/model/definition.ts";
import type { ExperimentId, TaskKey } from "../../../shared/model/ids.ts";
import type { TaskView } from "../../dispatch/contract.ts";
import { type FoundExperiment, findExperiment, type Sources } from "../experiment/find.ts";

export interface FoundTask {
  key: TaskKey;
  found: FoundExperiment;
  template: TemplateDefinition;
  view: TaskView;
}

export function taskIdText(experiment: ExperimentId, template: string, index: number): string {
  return `${experiment}.${template}.${index}`;
}

/** Throws `task_not_found`, `experiment_not_found`, `not_leading`. */
export async function findTask(sources: Sources, id: string): Promise<FoundTask> {
  const { experiment, templateName, index } = splitTaskId(id);
  const found = await findExperiment(sources, experiment);
  const template = templateOf(found, templateName);
  if (index >= template.count) throw noTask(`${template.name} has tasks 0 to ${template.count - 1}, not ${index}`);
  const [view] = await taskViews(sources, found, template.ordinal, index, index);
  if (!view) throw noTask(`task ${id} is not recorded`);
  return { key: { experiment, template: template.ordinal, index }, found, template, view };
}

/** The parts of a task's name. Throws `task_not_found`. */
export function splitTaskId(id: string): { experiment: ExperimentId; templateName: string; index: number } {
  const match = /^(\d{1,15})\.([^.\s/]{1,200})\.(\d{1,9})$/.exec(id);
  if (!match) throw noTask("a task is named EXPERIMENT.TEMPLATE.INDEX, for example 17.dock.42");
  return { experiment: Number(match[1]) as ExperimentId, templateName: match[2]!, index: Number(match[3]) };
}

/** A template by name or ordinal. Throws `task_not_found`. */
export function templateOf({ definition, record }: FoundExperiment, name: string): TemplateDefinition {
  const template =
    definition.templates.find((candidate) => candidate.name === name) ??
    (/^\d{1,9}$/.test(name) ? definition.templates[Number(name)] : undefined);
  if (template) return template;
  const names = definition.templates.slice(0, 10).map((candidate) => candidate.name);
  throw noTask(`experiment ${record.experiment} has no template "${name}"; it has ${names.join(", ")}`);
}

/** Tasks `from … to` (inclusive) of a template, from wherever they are known. */
export async function taskViews(
  { dispatcher, history }: Sources,
  found: FoundExperiment,
  template: number,
  from: number,
  to: number,
): Promise<TaskView[]> {
  const { experiment } = found.record;
  const views = dispatcher.tasks(experiment, template, from, to);
  // It may have left memory since it was found there.
  return views.length > 0 ? views : history.tasks(experiment, template, from, to);
}

function noTask(message: string): AiravataError {
  return new AiravataError("task_not_found", message);
}
