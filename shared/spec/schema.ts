/**
 * The schema of the experiment file, version 1: the one table from which checking, suggestions for misspelt keys, the key
 * table of docs/experiment-file.md and the JSON Schema derive. Order is the order of the documentation.
 */
import { EXPERIMENT_TEMPLATES_MAX, SPEC_NODES_MAX, TEMPLATE_TASKS_MAX } from "../model/constants.ts";

/** What may stand at a key. */
export type Kind =
  | { kind: "text"; charsMax: number; pattern?: RegExp; expects?: string }
  | { kind: "integer"; min: number; max: number; expects?: string }
  | { kind: "number"; min: number; max: number; above?: boolean }
  | { kind: "choice"; values: readonly string[] }
  /** Any scalar, kept as it is written. */
  | { kind: "value" }
  /** `H:MM:SS`, `30m`, `1d 2h`: seconds. */
  | { kind: "duration" }
  /** One axis of task_inputs: a list of values or a range. */
  | { kind: "axis" }
  | { kind: "list"; of: Kind; min: number; max: number }
  | { kind: "map"; keys: keyof typeof NAME_PATTERNS; of: Kind; max: number }
  | { kind: "object"; of: KeyTable }
  | { kind: "anything" };

export interface Key {
  is: Kind;
  summary: string;
  required?: true;
  /** What holds when the key is silent, as text for the documentation. */
  silent?: string;
  /** Known, and refused with this sentence unless it is empty (or, for a number, at most 1). */
  unsupported?: string;
}

export type KeyTable = Readonly<Record<string, Key>>;

/** What the keys of a map may be. */
export const NAME_PATTERNS = {
  name: /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/,
  variable: /^(?!AIRAVATA_)[A-Za-z_][A-Za-z0-9_]{0,254}$/,
  label: /^[A-Za-z0-9_][A-Za-z0-9_./-]{0,62}$/,
} as const;

const text = (charsMax: number): { kind: "text"; charsMax: number } => ({ kind: "text", charsMax });
const names = { kind: "text", charsMax: 63, pattern: /^[A-Za-z_][A-Za-z0-9_-]*$/, expects: "a name" } as const;

/** Longest shell text, template count and so on that one file may hold; the whole file is bounded by its bytes. */
const SHELL_CHARS_MAX = 131_071;
const WORDS_MAX = 10_000;
const PARAMETERS_MAX = 256;
const SCRIPTS_MAX = 1_000;
const RESOURCE_MAX = 1_000_000;

const COMPUTE = {
  node: {
    is: { kind: "integer", min: 1, max: RESOURCE_MAX },
    summary: "machines",
    silent: "1",
    unsupported: "a task on more than one machine is not supported yet; leave node out or write 1",
  },
  cpu: {
    is: { kind: "number", min: 0, max: RESOURCE_MAX, above: true },
    summary: "processors, also fractions",
    silent: "1",
  },
  gpu: { is: { kind: "integer", min: 0, max: 1_000 }, summary: "GPUs", silent: "0" },
  ram_gb: { is: { kind: "number", min: 0, max: RESOURCE_MAX, above: true }, summary: "memory in GiB", silent: "1" },
  disk_gb: { is: { kind: "number", min: 0, max: RESOURCE_MAX }, summary: "disk space in GiB", silent: "0" },
  vram_gb: { is: { kind: "number", min: 0, max: RESOURCE_MAX }, summary: "memory of each GPU in GiB", silent: "0" },
  time: {
    is: { kind: "duration" },
    summary: "longest run time: `H:MM:SS`, `30m`, `1d 2h`; the task is ended after it",
    silent: "0:30:00",
  },
  labels: {
    is: { kind: "map", keys: "label", of: { kind: "value" }, max: 100 },
    summary: "labels that the agent must carry with these values",
  },
  custom: {
    is: { kind: "map", keys: "label", of: { kind: "number", min: 0, max: 1e9 }, max: 100 },
    summary: "other countable resources, for example licences",
  },
} as const satisfies KeyTable;

const ENVIRONMENT = { kind: "map", keys: "variable", of: { kind: "value" }, max: PARAMETERS_MAX } as const;

const PARAMETER = {
  type: {
    is: { kind: "choice", values: ["int", "float", "string", "bool", "path"] },
    summary: "kind of value; a `path` is found beside the file",
    silent: "string",
  },
  default: {
    is: { kind: "value" },
    summary: "value when `-p name=value` gives none; without it a value must be given",
  },
  description: { is: text(1_000), summary: "a sentence for people" },
} as const satisfies KeyTable;

const RETRIES = {
  max: {
    is: { kind: "integer", min: 0, max: 1_000 },
    summary: "further tries when the task itself fails",
    silent: "0",
  },
  on: {
    is: {
      kind: "list",
      of: { kind: "choice", values: ["exit", "signal", "timeout", "oom", "output", "spawn"] },
      min: 1,
      max: 6,
    },
    summary: "causes that are tried again: `exit`, `signal`, `timeout`, `oom`, `output`, `spawn`",
    silent: "all of them",
  },
} as const satisfies KeyTable;

const notYet = (what: string): string => `${what} is not supported yet`;

const TASK = {
  script: { is: names, summary: "name of a text under `scripts`; exactly one of `script`, `command` and `argv`" },
  command: { is: text(SHELL_CHARS_MAX), summary: "a command line, run by `/bin/sh -e`" },
  argv: {
    is: { kind: "list", of: { kind: "value" }, min: 1, max: WORDS_MAX },
    summary: "a program and its arguments, run without a shell",
  },
  task_inputs: {
    is: { kind: "map", keys: "name", of: { kind: "axis" }, max: 100 },
    summary: "lists and ranges; their product is the tasks, the last varies fastest",
  },
  task_outputs: {
    is: { kind: "map", keys: "name", of: text(4_096), max: 1_000 },
    summary: "files that the task leaves in its directory, by name; globs allowed",
  },
  foreach: {
    is: { kind: "list", of: names, min: 1, max: 100 },
    summary: "one task for each task of these, with its index and inputs, when it has ended well",
  },
  needs: {
    is: { kind: "list", of: names, min: 1, max: EXPERIMENT_TEMPLATES_MAX },
    summary: "starts when all tasks of these have ended well",
  },
  requires: {
    is: { kind: "object", of: COMPUTE },
    summary: "what one task needs; beats `resources.compute` key by key",
  },
  retries: {
    is: { kind: "object", of: RETRIES },
    summary: "tries again when the task fails; failures of machines never count",
  },
  environment: { is: ENVIRONMENT, summary: "variables of this task; beats `resources.environment`" },
  matrix: { is: { kind: "anything" }, summary: "exclusions and inclusions", unsupported: notYet("matrix") },
  zip: { is: { kind: "anything" }, summary: "lists side by side instead of their product", unsupported: notYet("zip") },
  csv: { is: { kind: "anything" }, summary: "a file with a task per row", unsupported: notYet("csv") },
  when: { is: { kind: "anything" }, summary: "a condition", unsupported: notYet("when") },
  deadline: {
    is: { kind: "anything" },
    summary: "a time by which it must have ended",
    unsupported: notYet("deadline"),
  },
} as const satisfies KeyTable;

const RESOURCES = {
  compute: { is: { kind: "object", of: COMPUTE }, summary: "what each task needs when it does not say so itself" },
  environment: { is: ENVIRONMENT, summary: "variables of every task" },
  storage: {
    is: { kind: "anything" },
    summary: "remote files staged in before the task",
    unsupported: "remote storage is not supported yet; read files by a path that the machine can see",
  },
  container: {
    is: { kind: "anything" },
    summary: "image the tasks run in",
    unsupported: "containers are not supported yet; start the container in the command",
  },
  conda: {
    is: { kind: "anything" },
    summary: "packages of a conda environment",
    unsupported: "conda environments are not supported yet; activate one in the command",
  },
  pip: {
    is: { kind: "anything" },
    summary: "packages of a Python environment",
    unsupported: "pip environments are not supported yet; make one in the command",
  },
} as const satisfies KeyTable;

/** The file itself. */
export const SPEC_SCHEMA = {
  version: {
    is: { kind: "integer", min: 1, max: 1, expects: "a version that this program reads, which is 1" },
    summary: "version of this format",
    silent: "1",
  },
  name: {
    is: {
      kind: "text",
      charsMax: 128,
      pattern: /^[^./\p{Cc}][^/\p{Cc}]*$/u,
      expects: "a name without / and control characters, not beginning with a dot",
    },
    summary: "name of the experiment",
    silent: "the file's name",
  },
  project: {
    is: { kind: "text", charsMax: 63, pattern: /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/, expects: "a project's name" },
    summary: "project it belongs to",
    silent: "default",
  },
  description: { is: text(10_000), summary: "a text for people" },
  parameters: {
    is: { kind: "map", keys: "name", of: { kind: "object", of: PARAMETER }, max: PARAMETERS_MAX },
    summary: "values that are set once for all tasks",
  },
  scripts: {
    is: { kind: "map", keys: "name", of: text(1_048_576), max: SCRIPTS_MAX },
    summary: "shell texts by name; with a first line `#!…` for another interpreter",
  },
  tasks: {
    is: { kind: "map", keys: "name", of: { kind: "object", of: TASK }, max: EXPERIMENT_TEMPLATES_MAX },
    summary: "the tasks by name",
    required: true,
  },
  resources: { is: { kind: "object", of: RESOURCES }, summary: "needs and environment of all tasks" },
  priority: { is: { kind: "integer", min: -1_000, max: 1_000 }, summary: "higher is dispatched first", silent: "0" },
  max_failures: {
    is: { kind: "integer", min: 1, max: TEMPLATE_TASKS_MAX },
    summary: "failed tasks after which the rest is canceled",
    silent: "never",
  },
  on_disconnect: {
    is: { kind: "choice", values: ["requeue", "wait"] },
    summary: "tasks of a lost agent: run again at once, or wait for it",
    silent: "requeue",
  },
  wait_for: {
    is: { kind: "duration" },
    summary: "with `on_disconnect: wait`: how long a lost agent is waited for; then the task runs again",
    silent: "3d",
  },
  deadline: {
    is: { kind: "anything" },
    summary: "a time by which all must have ended",
    unsupported: notYet("deadline"),
  },
} as const satisfies KeyTable;

/** Values in one list of task_inputs; the file's bytes bound it as well. */
export const AXIS_VALUES_MAX = SPEC_NODES_MAX;

/** What a checked value is in the program. */
export type Checked<K> = K extends { kind: "integer" | "number" | "duration" }
  ? number
  : K extends { kind: "choice"; values: readonly (infer V)[] }
    ? V
    : K extends { kind: "text" | "value" }
      ? string
      : K extends { kind: "axis" }
        ? string | string[]
        : K extends { kind: "list"; of: infer T }
          ? Checked<T>[]
          : K extends { kind: "map"; of: infer T }
            ? Map<string, Checked<T>>
            : K extends { kind: "object"; of: infer T }
              ? CheckedObject<T>
              : undefined;
export type CheckedObject<T> = { -readonly [N in keyof T]?: T[N] extends { is: infer K } ? Checked<K> : never };

export type SpecFile = CheckedObject<typeof SPEC_SCHEMA>;
export type TaskFile = CheckedObject<typeof TASK>;
export type ComputeFile = CheckedObject<typeof COMPUTE>;
export type ParameterFile = CheckedObject<typeof PARAMETER>;
