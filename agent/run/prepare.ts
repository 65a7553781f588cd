/**
 * From a lease to what the runner is asked: directory (which the runner makes), arguments, environment, limits. What can
 * fail for the task's own fault does so here, before the start, and says so.
 */
import { join } from "node:path";
import { AiravataError, errorLine } from "../../shared/error/error.ts";
import { Blame, Outcome } from "../../shared/model/attempt.ts";
import { KILL_GRACE_MS, OUTPUT_KEPT_BYTES } from "../../shared/model/constants.ts";
import type { OutputReference, TemplateDefinition } from "../../shared/model/definition.ts";
import type { LeasedTemplate } from "../../shared/protocol/messages.ts";
import { parseGlob } from "../../shared/spec/glob.ts";
import { renderTask } from "../../shared/spec/render.ts";
import { attemptPath } from "../link/publish.ts";
import type { AttemptEnd } from "../report/end.ts";
import type { RunnableAttempt } from "./attempt.ts";
import { deviceVariables, type Variable } from "./environment.ts";
import { matchingFiles } from "./outputs.ts";
import type { RunRequest } from "./supervisor/contract.ts";
import type { Templates } from "./templates.ts";

/** Files of a task's standard streams in its directory, there only when something was written. */
export const STREAM_FILES = { stdout: ".stdout", stderr: ".stderr" } as const;
/** Parents whose directories are looked through at once. */
const PARENTS_AT_ONCE = 8;

export interface PreparedRun {
  directory: string;
  argv: string[];
  /** `NAME=value` each. */
  env: string[];
  wallMs: number;
}

export interface PrepareOptions {
  outputDir: string;
  templates: Templates;
  /** Variables that every task starts with, unless it has others of those names. */
  base: readonly Variable[];
  wall: () => number;
}

/**
 * Makes everything ready, or says why the attempt cannot be run. At once when nothing has to be read or written for it,
 * as it is for all tasks but the first of most templates. Neither throws nor rejects.
 */
export function prepareRun(
  lease: RunnableAttempt,
  options: PrepareOptions,
): PreparedRun | AttemptEnd | Promise<PreparedRun | AttemptEnd> {
  const { leased } = lease;
  if (leased === undefined) return failure(lease, Blame.AGENT, "its template is not known here", options.wall);
  const scriptPath = options.templates.saved(lease.experiment, leased);
  if (scriptPath === undefined || leased.definition.references.length > 0) return prepareLater(lease, leased, options);
  try {
    return rendered(lease, leased, scriptPath, new Map(), options);
  } catch (error) {
    return failureOf(lease, error, options.wall);
  }
}

async function prepareLater(
  lease: RunnableAttempt,
  leased: LeasedTemplate,
  options: PrepareOptions,
): Promise<PreparedRun | AttemptEnd> {
  try {
    const scriptPath = await options.templates.save(lease.experiment, leased);
    const outputs = await parentOutputs(lease, leased, options.outputDir);
    return rendered(lease, leased, scriptPath, outputs, options);
  } catch (error) {
    return failureOf(lease, error, options.wall);
  }
}

function rendered(
  lease: RunnableAttempt,
  leased: LeasedTemplate,
  scriptPath: string,
  outputs: ReadonlyMap<string, string[]>,
  options: PrepareOptions,
): PreparedRun {
  const { definition } = leased;
  const { experiment, index, attempt } = lease;
  const path = attemptPath({ experiment, template: definition.name, index, attempt });
  const directory = `${options.outputDir}/${path}`;
  const task = renderTask({
    experiment,
    template: definition,
    index,
    attempt,
    parameters: leased.parameters,
    ...(lease.values !== undefined && { inputs: lease.values }),
    outputDirectory: directory,
    scriptPath,
    outputPaths: (template, output) => outputs.get(`${template}.${output}`) ?? [],
  });
  const env: string[] = [];
  for (const { name, text } of options.base) if (!Object.hasOwn(task.env, name)) env.push(text);
  for (const name in task.env) env.push(`${name}=${task.env[name]}`);
  return { directory, argv: task.argv, env, wallMs: Math.ceil(definition.requires.wallSeconds * 1_000) };
}

/** What the runner is asked; the gpus are known only now. */
export function runRequest(key: string, run: PreparedRun, lease: RunnableAttempt, machineHasGpus: boolean): RunRequest {
  return {
    key,
    argv: run.argv,
    env: machineHasGpus ? withDevices(run.env, lease.devices) : run.env,
    cwd: run.directory,
    makeFolder: true,
    stdoutPath: `${run.directory}/${STREAM_FILES.stdout}`,
    stderrPath: `${run.directory}/${STREAM_FILES.stderr}`,
    outputLimitBytes: OUTPUT_KEPT_BYTES,
    // Whatever is written goes to the files at once: the runner makes them for a fraction of what it costs us, and they
    // are there however we die.
    inlineLimitBytes: 0,
    wallMs: run.wallMs,
    graceMs: KILL_GRACE_MS,
  };
}

/** Whatever the task says: it sees the gpus that it was given. */
function withDevices(env: readonly string[], devices: readonly number[]): string[] {
  const own = deviceVariables(devices);
  return [
    ...env.filter((text) => !own.some(({ name }) => text.startsWith(`${name}=`))),
    ...own.map(({ text }) => text),
  ];
}

/** Absolute paths of every referenced output, by `ordinal.NAME`. */
async function parentOutputs(
  lease: RunnableAttempt,
  leased: LeasedTemplate,
  outputDir: string,
): Promise<Map<string, string[]>> {
  const paths = new Map<string, string[]>();
  const { references, foreach } = leased.definition;
  if (references.length === 0) return paths;
  const parents = distinctParents(leased.definition);
  for (const { template, output } of references) {
    const name = `${template}.${output}`;
    if (paths.has(name)) continue;
    const attempts = lease.parents?.[parents.indexOf(template)] ?? [];
    const parent = leased.templateNames[template];
    const glob = leased.parentOutputs[template]?.[output];
    if (parent === undefined || glob === undefined || attempts.length === 0) {
      throw new Error(`the lease does not say where ${name} is`);
    }
    // One number for the task of the same index, else one per index.
    const folders = attempts.map((attempt, i) => {
      const index = foreach.includes(template) ? lease.index : i;
      return join(outputDir, attemptPath({ experiment: lease.experiment, template: parent, index, attempt }));
    });
    paths.set(name, await pathsBelow(folders, glob));
  }
  return paths;
}

/** Parents in the order in which `LeaseGroup.parents` lists them. */
function distinctParents(definition: TemplateDefinition): number[] {
  return [...new Set(definition.references.map((reference: OutputReference) => reference.template))];
}

async function pathsBelow(folders: string[], pattern: string): Promise<string[]> {
  const glob = parseGlob(pattern);
  if ("message" in glob) throw new Error(glob.message);
  const { literal } = glob;
  if (literal !== null) return folders.map((folder) => join(folder, literal));
  const found: string[] = [];
  for (let i = 0; i < folders.length; i += PARENTS_AT_ONCE) {
    const part = folders.slice(i, i + PARENTS_AT_ONCE);
    const lists = await Promise.all(part.map((folder) => matchingFiles(folder, glob)));
    for (const [j, list] of lists.entries()) {
      for (const file of list.files) found.push(join(part[j] as string, file.path));
    }
  }
  return found;
}

function failureOf(lease: RunnableAttempt, error: unknown, wall: () => number): AttemptEnd {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof AiravataError) return failure(lease, Blame.SPAWN, error.message, wall);
  const blame = code === "ENOSPC" || code === "EDQUOT" || code === "EROFS" ? Blame.DISK : Blame.AGENT;
  return failure(lease, blame, `it could not be prepared: ${errorLine(error)}`, wall);
}

function failure(lease: RunnableAttempt, blame: Blame, detail: string, wall: () => number): AttemptEnd {
  return {
    key: lease.key,
    outcome: Outcome.FAILED,
    blame,
    exitCode: -1,
    signal: 0,
    startedAtMs: 0,
    endedAtMs: Math.floor(wall()),
    cpuMs: 0,
    memoryMaxBytes: 0,
    detail: detail.slice(0, 1_000),
  };
}
