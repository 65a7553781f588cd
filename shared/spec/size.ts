/**
 * Bounds of size that are known before any task exists: what execve will be asked for with the longest values of all
 * inputs, and what the definition will take where it is stored.
 */
import { PARAMETER_VALUE_BYTES_MAX, TASK_EXEC_BYTES_MAX } from "../model/constants.ts";
import type { InputAxis, TemplateDefinition, ValuePart } from "../model/definition.ts";
import { byteLength, environmentBytes } from "./parameters.ts";
import type { Problems } from "./problem.ts";
import { rangeValue } from "./range.ts";
import { parameterVariable } from "./reference.ts";

/** A long path of an output; real ones are measured when a task is rendered. */
const PATH_BYTES = 256;
/** Each string costs its end and a pointer. */
const STRING_COST_BYTES = 9;

/** A problem when some task of the template could need more than a string or a process may have. */
export function checkExecSize(
  template: TemplateDefinition,
  parameters: Record<string, string>,
  problems: Problems,
): void {
  const longest = new Map<string, number>();
  for (const [name, value] of Object.entries(parameters)) longest.set(name, byteLength(value));
  for (const axis of template.inputs.flat()) longest.set(axis.name, byteLength(longestValue(axis)));
  const size = (parts: readonly ValuePart[]): number =>
    parts.reduce((sum, part) => {
      if (typeof part === "string") return sum + byteLength(part);
      return sum + ("value" in part ? (longest.get(part.value) ?? 0) : PATH_BYTES);
    }, 0);

  let total = 0;
  const count = (bytes: number, path: (string | number)[]): void => {
    total += bytes + STRING_COST_BYTES;
    if (bytes > PARAMETER_VALUE_BYTES_MAX) {
      problems.add(
        path,
        "spec_too_large",
        `with its longest values this has ${bytes} bytes; the limit is ${PARAMETER_VALUE_BYTES_MAX}`,
        { hint: "pass large data as a file" },
      );
    }
  };
  const path = ["tasks", template.name];
  if (template.command.kind === "argv") {
    for (const [position, parts] of template.command.argv.entries()) count(size(parts), [...path, "argv", position]);
  } else if (template.command.kind === "shell") total += byteLength(template.command.text);
  for (const [name, bytes] of longest)
    total += environmentBytes(parameterVariable(name), "") + bytes + STRING_COST_BYTES;
  for (const [name, parts] of Object.entries(template.environment))
    count(environmentBytes(name, "") + size(parts), [...path, "environment", name]);
  for (const reference of template.references)
    if (reference.variable) total += environmentBytes(reference.variable, "") + PATH_BYTES;
  if (total > TASK_EXEC_BYTES_MAX) {
    problems.add(
      path,
      "spec_too_large",
      `arguments and environment of ${template.name} have up to ${total} bytes; the limit is ${TASK_EXEC_BYTES_MAX}`,
      {
        hint: "pass large data as files",
      },
    );
  }
}

const longestByAxis = new WeakMap<InputAxis, string>();

/** The value of an axis with the most bytes; children of foreach share the axis, so it is looked for once. */
export function longestValue(axis: InputAxis): string {
  const known = longestByAxis.get(axis);
  if (known !== undefined) return known;
  let longest = "";
  if (axis.kind === "range") {
    const [first, last] = [rangeValue(axis, 0), rangeValue(axis, axis.count - 1)];
    longest = first.length > last.length ? first : last;
  } else {
    let bytes = -1;
    for (const value of axis.values) {
      const own = byteLength(value);
      if (own > bytes) [longest, bytes] = [value, own];
    }
  }
  longestByAxis.set(axis, longest);
  return longest;
}

/** What a small entry of the definition costs beside its texts. */
const ENTRY_BYTES = 40;
const axisBytes = new WeakMap<InputAxis, number>();

/** About the bytes of a template as stored. */
export function definitionBytes(template: TemplateDefinition): number {
  const { command, inputs, environment, references } = template;
  let bytes = command.kind === "argv" ? JSON.stringify(command.argv).length : command.text.length;
  for (const axis of inputs.flat()) {
    let known = axisBytes.get(axis);
    if (known === undefined) {
      known =
        axis.kind === "list"
          ? axis.values.reduce((sum, value) => sum + byteLength(value) + 3, ENTRY_BYTES)
          : ENTRY_BYTES * 2;
      axisBytes.set(axis, known);
    }
    bytes += known;
  }
  for (const parts of Object.values(environment)) {
    for (const part of parts) bytes += ENTRY_BYTES + (typeof part === "string" ? part.length : 0);
  }
  return bytes + (references.length + template.outputs.length + 1) * ENTRY_BYTES;
}
