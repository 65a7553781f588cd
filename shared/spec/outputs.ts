/** The outputs of a task and what its children see of them. */
import type { OutputDefinition, OutputReference, TemplateDefinition } from "../model/definition.ts";
import type { CommandContext } from "./command.ts";
import { parseGlob } from "./glob.ts";
import { checkSameVariable, type Draft } from "./inputs.ts";
import { outputVariable, type VisibleOutput } from "./reference.ts";
import type { TaskFile } from "./schema.ts";

export function outputsOf(name: string, task: TaskFile, context: CommandContext): TemplateDefinition["outputs"] {
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

export function visibleOutputs(
  template: TemplateDefinition,
  parents: Draft[],
  context: CommandContext,
): Map<string, VisibleOutput> {
  const visible = new Map<string, VisibleOutput>();
  const variables = new Map<string, string>();
  for (const { template: parent } of parents) {
    for (const output of parent.outputs) {
      const { name } = output;
      const full = `${parent.name}.${name}`;
      const variable = outputVariable(parent.name, name);
      const many = isGlob(output) || (template.needs.includes(parent.ordinal) && parent.count > 1);
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

/** One path each goes into the environment whether the text names it or not; several only where argv names them. */
export function referencesOf(template: TemplateDefinition, visible: Map<string, VisibleOutput>): OutputReference[] {
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

const globs = new WeakMap<OutputDefinition, boolean>();

/** Whether an output may be several files; asked once for every child of its task. */
function isGlob(output: OutputDefinition): boolean {
  const known = globs.get(output);
  if (known !== undefined) return known;
  const parsed = parseGlob(output.glob);
  const several = !("message" in parsed) && parsed.literal === null;
  globs.set(output, several);
  return several;
}
