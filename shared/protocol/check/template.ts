/** Checks of a template as it travels with its first lease, and of what an agent says it has. */
import { PARAMETER_VALUE_BYTES_MAX } from "../../model/constants.ts";
import {
  amount,
  array,
  type Fields,
  flag,
  integer,
  NAME_LENGTH_MAX,
  object,
  oneOf,
  record,
  refuse,
  TEXT_LENGTH_MAX,
  text,
} from "./primitives.ts";

const ENTRIES_MAX = 10_000;
const TEMPLATES_MAX = 10_000;
const LIST_MAX = 1_048_576;
const CAUSES = ["exit", "signal", "timeout", "oom", "output", "spawn"];

const name = (value: unknown, field: string): void => text(value, field);
const parameterValue = (value: unknown, field: string): void => text(value, field, PARAMETER_VALUE_BYTES_MAX);

export function valuesRecord(value: unknown, field: string): void {
  record(value, field, ENTRIES_MAX, parameterValue);
}

/** A `LeasedTemplate`. */
export function leasedTemplate(value: unknown): void {
  const leased = object(value, "leased");
  text(leased.experimentName, "experimentName");
  text(leased.project, "project");
  valuesRecord(leased.parameters, "parameters");
  for (const item of array(leased.templateNames, "templateNames", TEMPLATES_MAX)) text(item, "templateNames");
  record(leased.parentOutputs, "parentOutputs", TEMPLATES_MAX, (outputs) =>
    record(outputs, "parentOutputs", ENTRIES_MAX, (glob, field) => text(glob, field, TEXT_LENGTH_MAX)),
  );
  flag(leased.valuesPerLease, "valuesPerLease");
  definition(object(leased.definition, "definition"));
}

function definition(fields: Fields): void {
  integer(fields.ordinal, "ordinal", 0, TEMPLATES_MAX);
  text(fields.name, "name");
  integer(fields.count, "count", 1, 10_000_000);
  for (const group of array(fields.inputs, "inputs", ENTRIES_MAX)) {
    for (const axis of array(group, "inputs", ENTRIES_MAX)) inputAxis(object(axis, "inputs"));
  }
  command(object(fields.command, "command"));
  for (const item of array(fields.outputs, "outputs", ENTRIES_MAX)) {
    const output = object(item, "outputs");
    text(output.name, "output name");
    text(output.glob, "output glob", TEXT_LENGTH_MAX);
  }
  for (const field of ["foreach", "needs"] as const) {
    for (const ordinal of array(fields[field], field, TEMPLATES_MAX)) integer(ordinal, field, 0, TEMPLATES_MAX);
  }
  for (const item of array(fields.references, "references", ENTRIES_MAX)) {
    const reference = object(item, "references");
    integer(reference.template, "reference template", 0, TEMPLATES_MAX);
    text(reference.output, "reference output");
    // Several paths have no variable: they go into argv alone.
    if (reference.variable !== null) text(reference.variable, "reference variable", 2 * NAME_LENGTH_MAX);
  }
  requirement(fields.requires);
  const retries = object(fields.retries, "retries");
  integer(retries.max, "retries.max");
  for (const cause of array(retries.on, "retries.on", CAUSES.length)) oneOf(cause, "retries.on", CAUSES);
  record(fields.environment, "environment", ENTRIES_MAX, valueParts);
}

function inputAxis(axis: Fields): void {
  text(axis.name, "input name");
  if (axis.kind === "list") {
    for (const value of array(axis.values, "input values", LIST_MAX)) parameterValue(value, "input values");
    return;
  }
  if (axis.kind !== "range") refuse("input kind", '"list" or "range"');
  const bound = Number.MAX_SAFE_INTEGER;
  integer(axis.fromScaled, "input from", -bound);
  integer(axis.stepScaled, "input step", -bound);
  integer(axis.decimals, "input decimals", 0, 15);
  integer(axis.count, "input count", 0, 10_000_000);
}

function command(fields: Fields): void {
  if (fields.kind === "argv") {
    for (const word of array(fields.argv, "argv", LIST_MAX)) valueParts(word, "argv");
    return;
  }
  if (fields.kind !== "shell" && fields.kind !== "script") refuse("command kind", '"shell", "script" or "argv"');
  text(fields.text, "command text", TEXT_LENGTH_MAX);
}

function valueParts(value: unknown, field: string): void {
  for (const part of array(value, field, ENTRIES_MAX)) {
    if (typeof part === "string") {
      text(part, field, TEXT_LENGTH_MAX);
      continue;
    }
    const fields = object(part, field);
    if (fields.value !== undefined) text(fields.value, field);
    else {
      text(fields.output, field);
      integer(fields.template, field, 0, TEMPLATES_MAX);
    }
  }
}

function quantities(fields: Fields): void {
  for (const field of ["cpus", "memoryBytes", "gpus", "vramBytes", "diskBytes"]) amount(fields[field], field);
  record(fields.custom, "custom", ENTRIES_MAX, amount);
  record(fields.labels, "labels", ENTRIES_MAX, name);
}

function requirement(value: unknown): void {
  const fields = object(value, "requires");
  quantities(fields);
  amount(fields.wallSeconds, "wallSeconds");
}

/** A `Capacity`. */
export function capacity(value: unknown): void {
  quantities(object(value, "capacity"));
}
