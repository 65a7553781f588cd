/**
 * From the tasks of a file to templates: inputs and counts, what a task sees of its parents, its command and environment.
 * Parents are worked out before children; a part with problems does not cause more of them further down.
 */
import { EXPERIMENT_TASKS_MAX, SPEC_DEFINITION_BYTES_MAX } from "../model/constants.ts";
import type { RetryCause, TemplateDefinition, ValuePart } from "../model/definition.ts";
import { type CommandContext, compileCommand } from "./command.ts";
import { taskOrder } from "./graph.ts";
import { checkSameVariable, type Draft, inputsOf } from "./inputs.ts";
import { outputsOf, referencesOf, visibleOutputs } from "./outputs.ts";
import { parameterVariable, parseParts, Scope } from "./reference.ts";
import { requirementOf } from "./requires.ts";
import type { TaskFile } from "./schema.ts";
import { checkExecSize, definitionBytes } from "./size.ts";

const RETRY_CAUSES: RetryCause[] = ["exit", "signal", "timeout", "oom", "output", "spawn"];

/** What all templates have in common, worked out once. */
interface Shared {
  parameters: Record<string, string>;
  parameterNames: ReadonlySet<string>;
  templates: Map<string, TemplateDefinition>;
  environment: Record<string, ValuePart[]>;
}

export function buildTemplates(parameters: Record<string, string>, context: CommandContext): TemplateDefinition[] {
  const { file, problems } = context;
  const tasks = file.tasks ?? new Map<string, TaskFile>();
  if (file.tasks?.size === 0 && !problems.touches(["tasks"]))
    problems.add(["tasks"], "spec_missing", "tasks is empty: there is nothing to run");
  checkSameVariable([...tasks.keys()], (name) => ["tasks", name], "task", context);
  checkSameVariable([...(file.parameters?.keys() ?? [])], (name) => ["parameters", name], "parameter", context);

  const parameterVariables = new Map(
    [...(file.parameters?.keys() ?? [])].map((name) => [parameterVariable(name), name]),
  );
  const ordinals = new Map([...tasks.keys()].map((name, ordinal) => [name, ordinal]));
  const drafts = new Map<string, Draft>();
  const templates = new Map<string, TemplateDefinition>();
  for (const [name, task] of tasks) {
    const template = emptyTemplate(ordinals.get(name) as number, name);
    template.outputs = outputsOf(name, task ?? {}, context);
    templates.set(name, template);
  }
  const shared: Shared = {
    parameters,
    parameterNames: new Set(file.parameters?.keys() ?? []),
    templates,
    environment: environmentOf(
      file.resources?.environment,
      ["resources", "environment"],
      new Scope("resources", new Set(file.parameters?.keys() ?? []), new Map(), new Map()),
      context,
    ),
  };
  let bytes = 0;
  for (const name of taskOrder(tasks, problems)) {
    const task = tasks.get(name);
    const template = templates.get(name) as TemplateDefinition;
    if (!task) continue;
    const parentsOf = (key: "foreach" | "needs"): Draft[] =>
      (task[key] ?? []).map((parent) => drafts.get(parent)).filter((draft) => draft !== undefined);
    const draft = inputsOf(name, task, template, parentsOf("foreach"), parameterVariables, context);
    drafts.set(name, draft);
    finish(draft, task, [...parentsOf("foreach"), ...parentsOf("needs")], shared, context);
    bytes += definitionBytes(template);
    if (bytes > SPEC_DEFINITION_BYTES_MAX) {
      problems.add(
        ["tasks", name],
        "spec_too_large",
        `inputs and texts of all tasks together have more than ${SPEC_DEFINITION_BYTES_MAX} bytes`,
      );
      break;
    }
  }
  const total = [...templates.values()].reduce((sum, template) => sum + template.count, 0);
  if (total > EXPERIMENT_TASKS_MAX && !problems.touches(["tasks"])) {
    problems.add(
      ["tasks"],
      "spec_too_large",
      `the experiment has ${total} tasks; the limit is ${EXPERIMENT_TASKS_MAX}`,
    );
  }
  return [...templates.values()];
}

function emptyTemplate(ordinal: number, name: string): TemplateDefinition {
  return {
    ordinal,
    name,
    count: 1,
    inputs: [],
    command: { kind: "argv", argv: [] },
    outputs: [],
    foreach: [],
    needs: [],
    references: [],
    requires: requirementOf(undefined, undefined),
    retries: { max: 0, on: RETRY_CAUSES },
    environment: {},
  };
}

/** Everything that needs the parents: scope, command, environment. */
function finish(draft: Draft, task: TaskFile, parents: Draft[], shared: Shared, context: CommandContext): void {
  const { file, problems } = context;
  if (problems.full) return;
  const { template } = draft;
  const { templates, parameters, parameterNames } = shared;
  const ordinalsOf = (names: string[] | undefined): number[] =>
    (names ?? []).map((parent) => templates.get(parent)?.ordinal).filter((ordinal) => ordinal !== undefined);
  template.foreach = ordinalsOf(task.foreach);
  template.needs = ordinalsOf(task.needs);
  template.requires = requirementOf(task.requires, file.resources?.compute);
  template.retries = { max: task.retries?.max ?? 0, on: task.retries?.on ?? RETRY_CAUSES };

  const visible = visibleOutputs(template, parents, context);
  const scope = new Scope(template.name, new Set([...parameterNames, ...draft.inputNames]), visible, templates);
  const command = compileCommand(
    template.name,
    task,
    scope,
    parents.map((parent) => parent.template),
    context,
  );
  if (command) template.command = command;
  template.environment = {
    ...shared.environment,
    ...environmentOf(task.environment, ["tasks", template.name, "environment"], scope, context),
  };
  template.references = referencesOf(template, visible);
  if (draft.sound && !problems.touches(["tasks", template.name])) checkExecSize(template, parameters, problems);
}

function environmentOf(
  given: Map<string, string> | undefined,
  path: string[],
  scope: Scope,
  context: CommandContext,
): Record<string, ValuePart[]> {
  const environment: Record<string, ValuePart[]> = {};
  for (const [variable, text] of given ?? []) {
    if (text === undefined) continue;
    const here = [...path, variable];
    const { parts, problems } = parseParts(text, scope);
    for (const problem of problems)
      context.problems.add(here, "spec_reference", problem.message, { hint: problem.hint ?? "" });
    for (const part of parts) {
      if (typeof part !== "string" && "output" in part && scope.isMany(part)) {
        context.problems.add(here, "spec_reference", "several paths cannot stand in a variable", { hint: "use argv" });
      }
    }
    environment[variable] = parts;
  }
  return environment;
}
