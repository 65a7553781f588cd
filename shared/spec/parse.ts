/**
 * The experiment file, from text or object to the definition that is stored and dispatched. Everything that can be known
 * before a task exists is checked here, and all problems are reported at once, in the order of the file.
 */
import type { ExperimentDefinition } from "../model/definition.ts";
import { checkSpec } from "./check.ts";
import { type Located, locatePath, readObject, readYaml } from "./document.ts";
import { type FileNeed, FileNeeds } from "./files.ts";
import { parameterValues } from "./parameters.ts";
import { Problems, type SpecNote } from "./problem.ts";
import { buildTemplates } from "./templates.ts";

export type SpecSource = { text: string; fileName?: string } | { object: unknown };

export interface SpecOptions {
  /** Absolute directory of the file, on the machine where its tasks run; needed only where the file names files beside it. */
  specDirectory?: string;
  /** These beat the file's own. */
  name?: string;
  project?: string;
  priority?: number;
}

export interface ParsedExperiment {
  definition: ExperimentDefinition;
  /** Files that must exist beside the spec; not looked for here. */
  files: FileNeed[];
  /** What is right and may still surprise. */
  notes: SpecNote[];
}

/** Parses, checks and compiles. `overrides` are the values of `-p name=value`. Throws SpecError with all problems. */
export function parseExperiment(
  source: SpecSource,
  overrides: Readonly<Record<string, string>> = {},
  options: SpecOptions = {},
): ParsedExperiment {
  const root = "text" in source ? readYaml(source.text) : readObject(source.object);
  const problems = new Problems((path) => locatePath(root, path));
  if (root.kind === "map") applyOptions(root, options);
  const file = checkSpec(root, problems);
  const files = new FileNeeds(options.specDirectory, problems);
  const parameters = parameterValues(file.parameters ?? new Map(), overrides, files, problems);
  const templates = buildTemplates(parameters, { file, root, files, problems });
  const used = new Set([...(file.tasks?.values() ?? [])].map((task) => task?.script));
  for (const script of file.scripts?.keys() ?? []) {
    if (!used.has(script)) problems.note(["scripts", script], `no task uses the script ${script}`);
  }
  if (file.wait_for !== undefined && file.on_disconnect !== "wait") {
    problems.add(["wait_for"], "spec_value", "it says how long to wait, which needs on_disconnect: wait");
  }
  problems.throwIfAny();
  return {
    definition: {
      name: file.name ?? nameOfFile(source),
      project: file.project ?? "default",
      priority: file.priority ?? 0,
      maxFailures: file.max_failures ?? null,
      onDisconnect: file.on_disconnect ?? "requeue",
      ...(file.on_disconnect === "wait" && { waitMs: file.wait_for === undefined ? WAIT_MS : file.wait_for * 1_000 }),
      parameters,
      templates,
    },
    files: files.list,
    notes: problems.notes,
  };
}

/** A lost agent is waited for over a weekend. */
const WAIT_MS = 3 * 86_400_000;

/** Puts what the command line says into the tree, so that the same rules hold for it. */
function applyOptions(root: Located & { kind: "map" }, options: SpecOptions): void {
  const at = { line: null, column: null };
  for (const key of ["name", "project", "priority"] as const) {
    const value = options[key];
    if (value === undefined) continue;
    root.entries.set(key, { keyAt: at, node: { kind: "scalar", value, text: String(value), at, placeOf: () => at } });
  }
}

/** `sweep` for `…/sweep.yaml`; letters that a name cannot have become `-`. */
function nameOfFile(source: SpecSource): string {
  const file = "fileName" in source ? (source.fileName?.split("/").at(-1) ?? "") : "";
  const stem = file
    .replace(/\.[^.]*$/, "")
    .replaceAll(/\p{Cc}/gu, "-")
    .replace(/^\.+/, "")
    .slice(0, 128);
  return stem === "" ? "experiment" : stem;
}
