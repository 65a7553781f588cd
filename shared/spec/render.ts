/**
 * One task of a template made concrete, at lease time and at the agent: its inputs from its index, its arguments and its
 * environment. Pure; a million-task array is never expanded.
 */

import { AiravataError } from "../error/error.ts";
import { PARAMETER_VALUE_BYTES_MAX, REFERENCE_PATHS_MAX, TASK_EXEC_BYTES_MAX } from "../model/constants.ts";
import type { TemplateDefinition, ValuePart } from "../model/definition.ts";
import { byteLength } from "./parameters.ts";
import { rangeValue } from "./range.ts";
import { parameterVariable } from "./reference.ts";

/** What an agent knows of a leased task. */
export interface TaskContext {
  experiment: number;
  template: TemplateDefinition;
  index: number;
  attempt: number;
  /** Values of the experiment's parameters. */
  parameters: Readonly<Record<string, string>>;
  /** Input values by name when they came with the lease; else they are decoded from the index. */
  inputs?: Readonly<Record<string, string>>;
  /** Absolute path of the attempt's directory. */
  outputDirectory: string;
  /** Where the agent will have written a script of another interpreter. */
  scriptPath: string;
  /**
   * Absolute paths of an output of the parent `template` (an ordinal): of the task of the same index for a `foreach`
   * parent, of all its tasks in index order for a `needs` parent; one path each, or as many as a glob matched.
   */
  outputPaths(template: number, output: string): readonly string[];
}

export interface RenderedTask {
  argv: string[];
  /** What is ours and the experiment's; the agent puts it over its base environment (PATH, HOME, …). */
  env: Record<string, string>;
  /** A text to be written to `scriptPath` before the start. */
  script: string | null;
}

/**
 * Arguments and environment of one task. argv[0] without a slash is looked up in the task's own PATH, and a program file
 * that the kernel does not know (ENOEXEC) is given to /bin/sh, as execvp does. Throws AiravataError `task_too_large`.
 */
export function renderTask(context: TaskContext): RenderedTask {
  const values = valuesOf(context);
  const env = renderEnvironment(context, values);
  const { command } = context.template;
  let argv: string[];
  if (command.kind === "shell") argv = ["/bin/sh", "-e", "-c", command.text];
  else if (command.kind === "script") argv = [...interpreterOf(command.text), context.scriptPath];
  else argv = renderArgv(command.argv, context, values);
  assertFits(context, argv, env);
  return { argv, env, script: command.kind === "script" ? command.text : null };
}

/** Values of a task's inputs by name: within a group the last axis varies fastest; each group reads the index on its own. */
export function decodeInputs(template: Pick<TemplateDefinition, "inputs">, index: number): Record<string, string> {
  const values: Record<string, string> = {};
  for (const group of template.inputs) {
    // In the order of the file, which is the order in which people see them.
    for (const axis of group) values[axis.name] ??= "";
    let rest = index;
    for (let i = group.length - 1; i >= 0; i--) {
      const axis = group[i];
      if (!axis) continue;
      const length = axis.kind === "range" ? axis.count : axis.values.length;
      const position = rest % length;
      rest = (rest - position) / length;
      values[axis.name] = axis.kind === "range" ? rangeValue(axis, position) : (axis.values[position] ?? "");
    }
  }
  return values;
}

/** Parameters and inputs by name. */
function valuesOf(context: TaskContext): Map<string, string> {
  const inputs = context.inputs ?? decodeInputs(context.template, context.index);
  return new Map([...Object.entries(context.parameters), ...Object.entries(inputs)]);
}

function renderArgv(argv: readonly ValuePart[][], context: TaskContext, values: Map<string, string>): string[] {
  const words: string[] = [];
  for (const parts of argv) {
    const [only] = parts;
    // A reference that stands alone becomes one argument per path, also none.
    if (parts.length === 1 && only !== undefined && typeof only !== "string" && "output" in only) {
      const paths = context.outputPaths(only.template, only.output);
      if (paths.length > REFERENCE_PATHS_MAX) {
        throw tooLarge(
          context,
          `the output ${only.output} is ${paths.length} paths; the limit is ${REFERENCE_PATHS_MAX}`,
        );
      }
      words.push(...paths);
    } else words.push(renderParts(parts, context, values));
  }
  return words;
}

function renderParts(parts: readonly ValuePart[], context: TaskContext, values: Map<string, string>): string {
  let text = "";
  for (const part of parts) {
    if (typeof part === "string") text += part;
    else if ("value" in part) text += values.get(part.value) ?? "";
    else text += context.outputPaths(part.template, part.output)[0] ?? "";
  }
  return text;
}

function renderEnvironment(context: TaskContext, values: Map<string, string>): Record<string, string> {
  const { template, experiment, index, attempt } = context;
  const env: Record<string, string> = {};
  for (const [name, parts] of Object.entries(template.environment)) env[name] = renderParts(parts, context, values);
  for (const [name, value] of values) env[parameterVariable(name)] = value;
  for (const { template: parent, output, variable } of template.references) {
    if (variable !== null) env[variable] = context.outputPaths(parent, output)[0] ?? "";
  }
  env.AIRAVATA_TASK_ID = `${experiment}.${template.name}.${index}`;
  env.AIRAVATA_TASK_INDEX = String(index);
  env.AIRAVATA_ATTEMPT = String(attempt);
  env.AIRAVATA_EXPERIMENT_ID = String(experiment);
  env.AIRAVATA_OUTPUT_DIR = context.outputDirectory;
  return env;
}

/** As the kernel reads a `#!` line: the interpreter and at most one argument. */
function interpreterOf(text: string): string[] {
  const line = /^#![ \t]*([^\n]*)/.exec(text)?.[1]?.trim() ?? "";
  const space = line.search(/[ \t]/);
  return space < 0 ? [line] : [line.slice(0, space), line.slice(space).trim()];
}

/** Every string within 128 KiB and all together within what execve takes; parse has bounded all but paths. */
function assertFits(context: TaskContext, argv: readonly string[], env: Readonly<Record<string, string>>): void {
  let total = 0;
  const add = (bytes: number, what: string): void => {
    if (bytes > PARAMETER_VALUE_BYTES_MAX)
      throw tooLarge(context, `${what} has ${bytes} bytes; the limit is ${PARAMETER_VALUE_BYTES_MAX}`);
    total += bytes + 9;
  };
  for (const word of argv) add(byteLength(word), "an argument");
  for (const name in env) add(name.length + 1 + byteLength(env[name] as string), `the variable ${name}`);
  if (total > TASK_EXEC_BYTES_MAX) {
    throw tooLarge(context, `arguments and environment have ${total} bytes; the limit is ${TASK_EXEC_BYTES_MAX}`);
  }
}

function tooLarge(context: TaskContext, message: string): AiravataError {
  const { experiment, template, index } = context;
  return new AiravataError(
    "task_too_large",
    `task ${experiment}.${template.name}.${index} cannot be started: ${message}`,
  );
}
