/**
 * An experiment as it is stored, dispatched and sent to agents: the spec after parsing, checking and compiling.
 * It is immutable and holds no task: tasks are indexes `0 … count−1` of a template, their inputs decoded from the index.
 */
import type { Requirement } from "./requirement.ts";

/** One input of a template: a list, or a range computed exactly in units of 10^−decimals. */
export type InputAxis =
  | { name: string; kind: "list"; values: string[] }
  | { name: string; kind: "range"; fromScaled: number; stepScaled: number; decimals: number; count: number };

/** A piece of an argument or environment value, put together at the agent. */
export type ValuePart =
  | string
  /** A parameter or input by name. */
  | { value: string }
  /** Path of a parent's output; `template` is its ordinal. With `needs` and many tasks it stands alone and yields one word per path. */
  | { output: string; template: number };

/** A shell text is run as `/bin/sh -e -c TEXT` (or by the interpreter of its first line); values reach it only by environment. */
export type Command =
  | { kind: "shell"; text: string }
  | { kind: "script"; text: string }
  | { kind: "argv"; argv: ValuePart[][] };

/** A named output: files below the attempt's directory that match `glob`. */
export interface OutputDefinition {
  name: string;
  glob: string;
}

/** An output of a parent that this task can read: named in its argv, or given to it in its environment. */
export interface OutputReference {
  /** Ordinal of the parent template, one of `foreach` or `needs`. */
  template: number;
  output: string;
  /** `AIRAVATA_INPUT_<task>_<OUTPUT>`; null when it is several paths (a glob, a parent of many tasks): those go only into argv. */
  variable: string | null;
}

/** Causes that the user's own retry budget pays for. */
export type RetryCause = "exit" | "signal" | "timeout" | "oom" | "output" | "spawn";

export interface TemplateDefinition {
  /** Position in the file, from 0; parents may stand anywhere. */
  ordinal: number;
  name: string;
  /** Number of tasks, 1 … 10 million. */
  count: number;
  /** Groups of axes; within a group the last axis varies fastest; each group decodes the task's index on its own. */
  inputs: InputAxis[][];
  command: Command;
  outputs: OutputDefinition[];
  /** Ordinals of parents whose task of the same index must have COMPLETED. */
  foreach: number[];
  /** Ordinals of parents all of whose tasks must have COMPLETED. */
  needs: number[];
  references: OutputReference[];
  requires: Requirement;
  retries: { max: number; on: RetryCause[] };
  environment: Record<string, ValuePart[]>;
}

export interface ExperimentDefinition {
  name: string;
  /** Name of the project. */
  project: string;
  /** −1000 … 1000, higher first. */
  priority: number;
  /** Failed tasks after which the rest is canceled; null: never. */
  maxFailures: number | null;
  /** What happens to leases of a lost agent: given anew at once, or kept for it. */
  onDisconnect: "requeue" | "wait";
  /** With `wait`: for so long after its session ran out; absent in what was submitted before there was a bound. */
  waitMs?: number;
  /** Values of the declared parameters, as text. */
  parameters: Record<string, string>;
  templates: TemplateDefinition[];
}

/** True when a task reads files of another one: until staging exists all its tasks run where one root is. */
export function isPinnedToOneRoot(definition: ExperimentDefinition): boolean {
  return definition.templates.some((template) => template.references.length > 0);
}
