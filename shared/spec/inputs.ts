/**
 * The inputs of a task: the product of its own lists and ranges, or those of its foreach parents, counted and never
 * expanded.
 */
import { TEMPLATE_TASKS_MAX } from "../model/constants.ts";
import type { InputAxis, TemplateDefinition } from "../model/definition.ts";
import type { CommandContext } from "./command.ts";
import { checkValueSize } from "./parameters.ts";
import { parseRange } from "./range.ts";
import { parameterVariable } from "./reference.ts";
import type { TaskFile } from "./schema.ts";
import { longestValue } from "./size.ts";

/** A template in the making: names are known also where their values have problems. */
export interface Draft {
  template: TemplateDefinition;
  inputNames: Set<string>;
  /** False when count and inputs are not to be relied on. */
  sound: boolean;
}

/** Fills inputs and count: the product of its own, or those of its foreach parents. */
export function inputsOf(
  name: string,
  task: TaskFile,
  template: TemplateDefinition,
  foreach: Draft[],
  parameterVariables: ReadonlyMap<string, string>,
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
  const place = (input: string): string[] => (own?.has(input) ? [...path, "task_inputs", input] : path);
  checkSameVariable([...inputNames], place, "input", context);
  for (const input of inputNames) {
    const other = parameterVariables.get(parameterVariable(input));
    if (other !== undefined && other !== input) {
      const message = `the parameter ${other} and the input ${input} are the same once - becomes _`;
      problems.add(place(input), "spec_name", message, { hint: "rename one of them" });
    }
  }
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

function axisLength(axis: InputAxis): number {
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

/** Names that differ only in - and _ would be one environment variable. */
export function checkSameVariable(
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
