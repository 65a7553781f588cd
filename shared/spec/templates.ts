/**
 * From the tasks of a file to templates: inputs and counts, what a task sees of its parents, its command and environment.
 * Parents are worked out before children; a part with problems does not cause more of them further down.
 */
import { EXPERIMENT_TASKS_MAX, SPEC_DEFINITION_BYTES_MAX, TEMPLATE_TASKS_MAX } from "../model/constants.ts";
import type { InputAxis, OutputReference, RetryCause, TemplateDefinition, ValuePart } from "../model/definition.ts";
import { type CommandContext, compileCommand } from "./command.ts";
import { checkExecSize, longestValue } from "./exec-size.ts";
import { parseGlob } from "./glob.ts";
import { taskOrder } from "./graph.ts";
import { byteLength, checkValueSize } from "./parameters.ts";
import { parseRange } from "./range.ts";
import { outputVariable, parameterVariable, parseParts, Scope, type VisibleOutput } from "./reference.ts";
import { requirementOf } from "./requires.ts";
import type { TaskFile } from "./schema.ts";

const RETRY_CAUSES: RetryCause[] = ["exit", "signal", "timeout", "oom", "output", "spawn"];

/** A template in the making: names are known also where their values have problems. */
interface Draft {
  template: TemplateDefinition;
  inputNames: Set<string>;
  /** False when count and inputs are not to be relied on. */
  sound: boolean;
}

export function buildTemplates(parameters: Record<string, string>, context: CommandContext): TemplateDefinition[] {
  const { file, problems } = context;
  const tasks = file.tasks ?? new Map<string, TaskFile>();
  if (file.tasks?.size === 0 && !problems.touches(["tasks"]))
    problems.add(["tasks"], "spec_missing", "tasks is empty: there is nothing to run");
  checkSameVariable([...tasks.keys()], (name) => ["tasks", name], "task", context);
  checkSameVariable([...(file.parameters?.keys() ?? [])], (name) => ["parameters", name], "parameter", context);

  const ordinals = new Map([...tasks.keys()].map((name, ordinal) => [name, ordinal]));
  const drafts = new Map<string, Draft>();
  const templates = new Map<string, TemplateDefinition>();
  for (const [name, task] of tasks) {
    const template = emptyTemplate(ordinals.get(name) as number, name);
    template.outputs = outputsOf(name, task ?? {}, context);
    templates.set(name, template);
  }
  let bytes = 0;
  for (const name of taskOrder(tasks, problems)) {
    const task = tasks.get(name);
    const template = templates.get(name) as TemplateDefinition;
    if (!task) continue;
    const parentsOf = (key: "foreach" | "needs"): Draft[] =>
      (task[key] ?? []).map((parent) => drafts.get(parent)).filter((draft) => draft !== undefined);
    const draft = inputsOf(name, task, template, parentsOf("foreach"), context);
    drafts.set(name, draft);
    finish(draft, task, [...parentsOf("foreach"), ...parentsOf("needs")], templates, parameters, context);
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

/** Fills inputs and count: the product of its own, or those of its foreach parents. */
function inputsOf(
  name: string,
  task: TaskFile,
  template: TemplateDefinition,
  foreach: Draft[],
  context: CommandContext,
): Draft {
  const { problems, file } = context;
  const path = ["tasks", name];
  const own = task.task_inputs;
  const inputNames = new Set<string>();
  let sound = true;
  if (task.foreach) {
    if (own)
      problems.add(
        [...path, "task_inputs"],
        "spec_not_supported",
        "task_inputs beside foreach is not supported yet; a foreach task has its parents' inputs",
      );
    const groups = new Set(foreach.flatMap((parent) => parent.template.inputs));
    template.inputs = [...groups];
    for (const parent of foreach) for (const input of parent.inputNames) inputNames.add(input);
    const [first, ...others] = foreach;
    template.count = first?.template.count ?? 1;
    sound = foreach.length === task.foreach.length && foreach.every((parent) => parent.sound);
    const other = others.find((parent) => parent.template.count !== first?.template.count);
    if (sound && first && other) {
      problems.add(
        [...path, "foreach"],
        "spec_conflict",
        `${first.template.name} has ${first.template.count} tasks and ${other.template.name} has ${other.template.count}; foreach pairs them one to one and needs equal numbers`,
      );
    }
    checkGroupNames(name, template.inputs, context);
  } else if (own) {
    const axes: InputAxis[] = [];
    for (const [input, given] of own) {
      inputNames.add(input);
      const axis = axisOf(name, input, given, context);
      if (axis) axes.push(axis);
      else sound = false;
    }
    if (axes.length > 0) template.inputs = [axes];
    const product = axes.reduce((count, axis) => count * BigInt(axisLength(axis)), 1n);
    if (product > BigInt(TEMPLATE_TASKS_MAX)) {
      problems.add(
        [...path, "task_inputs"],
        "spec_too_large",
        `the product of the inputs of ${name} is ${product} tasks; the limit is ${TEMPLATE_TASKS_MAX}`,
      );
      sound = false;
    } else template.count = Number(product);
  }
  for (const input of inputNames) {
    if (file.parameters?.has(input)) {
      problems.add(
        [...path, own ? "task_inputs" : "foreach", ...(own ? [input] : [])],
        "spec_conflict",
        `${input} is both a parameter and an input of ${name}`,
        { hint: "rename one of them" },
      );
    }
  }
  checkSameVariable(
    [...inputNames, ...(file.parameters?.keys() ?? [])],
    (input) => (own?.has(input) ? [...path, "task_inputs", input] : path),
    "input or parameter",
    context,
  );
  return { template, inputNames, sound };
}

function axisOf(
  task: string,
  input: string,
  given: string | string[] | undefined,
  context: CommandContext,
): InputAxis | undefined {
  const path = ["tasks", task, "task_inputs", input];
  if (given === undefined || context.problems.touches(path)) return undefined;
  if (typeof given === "string") {
    const axis = parseRange(input, given);
    if ("name" in axis) return axis;
    context.problems.add(path, "spec_range", axis.message, axis.hint === undefined ? {} : { hint: axis.hint });
    return undefined;
  }
  const axis: InputAxis = { name: input, kind: "list", values: given };
  checkValueSize(input, longestValue(axis), path, context.problems);
  return axis;
}

export function axisLength(axis: InputAxis): number {
  return axis.kind === "range" ? axis.count : axis.values.length;
}

/** Two parents may bring an input of the same name only when it is the same input. */
function checkGroupNames(name: string, groups: InputAxis[][], context: CommandContext): void {
  const seen = new Set<string>();
  for (const axis of groups.flat()) {
    if (seen.has(axis.name)) {
      context.problems.add(
        ["tasks", name, "foreach"],
        "spec_conflict",
        `the parents of ${name} have different inputs of the same name ${axis.name}`,
        { hint: "rename one of them" },
      );
    }
    seen.add(axis.name);
  }
}

function outputsOf(name: string, task: TaskFile, context: CommandContext): TemplateDefinition["outputs"] {
  const outputs: TemplateDefinition["outputs"] = [];
  for (const [output, glob] of task.task_outputs ?? []) {
    if (glob === undefined) {
      // Its name stays known, so that references to it are not called unknown as well.
      outputs.push({ name: output, glob: "unknown" });
      continue;
    }
    const parsed = parseGlob(glob);
    if ("message" in parsed)
      context.problems.add(["tasks", name, "task_outputs", output], "spec_value", parsed.message);
    outputs.push({ name: output, glob: glob.replace(/^(\.\/)+/, "") });
  }
  checkSameVariable(
    outputs.map((output) => output.name),
    (output) => ["tasks", name, "task_outputs", output],
    "output",
    context,
  );
  return outputs;
}

/** Everything that needs the parents: scope, command, environment. */
function finish(
  draft: Draft,
  task: TaskFile,
  parents: Draft[],
  templates: Map<string, TemplateDefinition>,
  parameters: Record<string, string>,
  context: CommandContext,
): void {
  const { file, problems } = context;
  const { template } = draft;
  const ordinalsOf = (names: string[] | undefined): number[] =>
    (names ?? []).map((parent) => templates.get(parent)?.ordinal).filter((ordinal) => ordinal !== undefined);
  template.foreach = ordinalsOf(task.foreach);
  template.needs = ordinalsOf(task.needs);
  template.requires = requirementOf(task.requires, file.resources?.compute);
  template.retries = { max: task.retries?.max ?? 0, on: task.retries?.on ?? RETRY_CAUSES };

  const visible = visibleOutputs(template, parents, context);
  const parameterNames = new Set(file.parameters?.keys() ?? []);
  const scope = new Scope(template.name, new Set([...parameterNames, ...draft.inputNames]), visible, templates);
  const command = compileCommand(
    template.name,
    task,
    scope,
    parents.map((parent) => parent.template),
    context,
  );
  if (command) template.command = command;
  const shared = new Scope(template.name, parameterNames, new Map(), new Map());
  template.environment = {
    ...environmentOf(file.resources?.environment, ["resources", "environment"], shared, context),
    ...environmentOf(task.environment, ["tasks", template.name, "environment"], scope, context),
  };
  template.references = referencesOf(template, visible);
  if (draft.sound && !problems.touches(["tasks", template.name])) checkExecSize(template, parameters, problems);
}

function visibleOutputs(
  template: TemplateDefinition,
  parents: Draft[],
  context: CommandContext,
): Map<string, VisibleOutput> {
  const visible = new Map<string, VisibleOutput>();
  const variables = new Map<string, string>();
  for (const { template: parent } of parents) {
    for (const { name, glob } of parent.outputs) {
      const full = `${parent.name}.${name}`;
      const variable = outputVariable(parent.name, name);
      const parsed = parseGlob(glob);
      const isGlob = !("message" in parsed) && parsed.literal === null;
      const many = isGlob || (template.needs.includes(parent.ordinal) && parent.count > 1);
      visible.set(full, { template: parent.ordinal, output: name, variable, many });
      const other = variables.get(variable);
      if (other !== undefined) {
        context.problems.add(
          ["tasks", template.name],
          "spec_name",
          `${other} and ${full} would both be the variable ${variable} of ${template.name}`,
          { hint: "rename one of them" },
        );
      }
      variables.set(variable, full);
    }
  }
  return visible;
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

/** One path each goes into the environment whether the text names it or not; several only where argv names them. */
function referencesOf(template: TemplateDefinition, visible: Map<string, VisibleOutput>): OutputReference[] {
  const words = template.command.kind === "argv" ? template.command.argv.flat() : [];
  const named = (seen: VisibleOutput): boolean =>
    words.some(
      (part) =>
        typeof part !== "string" && "output" in part && part.output === seen.output && part.template === seen.template,
    );
  return [...visible.values()]
    .filter((seen) => !seen.many || named(seen))
    .map(({ template: parent, output, variable, many }) => ({
      template: parent,
      output,
      variable: many ? null : variable,
    }));
}

/** Names that differ only in - and _ would be one environment variable. */
function checkSameVariable(
  names: string[],
  path: (name: string) => string[],
  what: string,
  context: CommandContext,
): void {
  const seen = new Map<string, string>();
  for (const name of names) {
    const variable = parameterVariable(name);
    const other = seen.get(variable);
    if (other !== undefined && other !== name) {
      context.problems.add(
        path(name),
        "spec_name",
        `the ${what} names ${other} and ${name} are the same once - becomes _`,
        { hint: "rename one of them" },
      );
    }
    seen.set(variable, name);
  }
}

const axisBytes = new WeakMap<InputAxis, number>();
function definitionBytes(template: TemplateDefinition): number {
  let bytes =
    template.command.kind === "argv" ? JSON.stringify(template.command.argv).length : template.command.text.length;
  for (const axis of template.inputs.flat()) {
    const known =
      axisBytes.get(axis) ??
      (axis.kind === "list" ? axis.values.reduce((sum, value) => sum + byteLength(value) + 3, 0) : 40);
    axisBytes.set(axis, known);
    bytes += known;
  }
  return bytes;
}
