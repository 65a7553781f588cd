/** `airavata run FILE`: check, submit, watch, summarize, fetch. Each step is a file of its own; here is their order. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { Exit } from "../../../shared/error/exit.ts";
import { SpecError } from "../../../shared/spec/problem.ts";
import { connectConfigured, localConnection } from "../connect.ts";
import { dryRun, renderDryRun } from "../dryrun.ts";
import { plural } from "../format.ts";
import { type Connection, type Invocation, printJson } from "../invocation.ts";
import {
  type CheckedSpec,
  checkSpecFile,
  parameterOverrides,
  readSpecFile,
  renderSpecProblems,
  type SpecFile,
} from "../specfile.ts";
import { findStack, startStack } from "../stack.ts";
import { probe, submit } from "../submit.ts";
import { printableLine } from "../terminal.ts";
import { download } from "./outputs.ts";
import { addCommand, type Bind, gather } from "./tree.ts";
import { exitFor, watchToEnd } from "./watch.ts";

interface RunOptions {
  param?: string[];
  name?: string;
  priority?: number;
  dryRun?: boolean;
  detach?: boolean;
  outputDir?: string;
}

export function addRunCommand(program: Command, bind: Bind): void {
  addCommand(
    program,
    {
      usage: "run <file>",
      description: "submit an experiment file and watch it to its end",
      options: [
        ["-p, --param <name=value>", "value of a declared parameter; may be repeated", gather],
        ["--name <name>", "name of the experiment; beats the file's"],
        ["--priority <n>", "-1000 to 1000, higher first; beats the file's", Number],
        ["--dry-run", "show what would be submitted, and stop"],
        ["--detach", "submit and return at once"],
        ["--output-dir <dir>", "fetch the outputs there at the end"],
      ],
      examples: [
        "run examples/sweep.yaml",
        "run sweep.yaml -p seed=7 -p receptor=./other.pdb --name seed-7",
        "run sweep.yaml --dry-run",
        "run - < sweep.yaml",
        "run sweep.yaml --server https://cluster.example.org --output-dir results",
      ],
    },
    bind,
    run,
  );
}

async function run(invocation: Invocation): Promise<number> {
  const options = invocation.options as RunOptions;
  const { project } = invocation.settings.values;
  const parameters = parameterOverrides(options.param ?? []);
  const file = await readSpecFile(invocation.args[0] ?? "");
  const checked = await check(invocation, file, parameters);
  if (checked === undefined) return Exit.USAGE;
  const { definition, notes } = checked;
  for (const note of notes) {
    const place = note.line === null ? file.path : `${file.path}:${note.line}:${note.column}`;
    invocation.err.write(`note: ${place}: ${printableLine(note.message)}\n`);
  }
  if (options.dryRun) {
    const dry = dryRun(definition);
    if (invocation.json) printJson(invocation, dry);
    else invocation.out.write(renderDryRun(dry, invocation.out));
    return Exit.DONE;
  }

  const connection = await connectOrStart(invocation);
  await probe(connection.client);
  const body = {
    spec: file.text,
    spec_directory: file.directory,
    parameters,
    project,
    // Always sent: without a name of its own the file's name counts, which only this side knows.
    name: definition.name,
    priority: options.priority,
  };
  const experiment = await submit(connection.client, body, () => invocation.err.write("Waiting for the server.\n"));
  if (invocation.json) printJson(invocation, { event: "submitted", experiment });
  const announcement = `Experiment ${experiment.id} (${printableLine(experiment.name)}), ${plural(experiment.tasks.total, "task")}.`;
  if (options.detach) {
    if (!invocation.json) {
      invocation.out.write(`${announcement}\nWatch it with "airavata experiment watch ${experiment.id}".\n`);
    }
    return Exit.DONE;
  }
  const watched = await watchToEnd(invocation, connection, experiment.id, announcement);
  if (watched === undefined) return Exit.DONE;
  const exit = exitFor(watched.final);
  if (options.outputDir === undefined) return exit;
  const fetched = await download(invocation, watched.client, experiment.id, resolve(options.outputDir));
  return exit === Exit.DONE ? fetched : exit;
}

/** The definition, or undefined after all problems were told. */
async function check(
  invocation: Invocation,
  file: SpecFile,
  parameters: Record<string, string>,
): Promise<CheckedSpec | undefined> {
  const { name, priority } = invocation.options as RunOptions;
  try {
    return await checkSpecFile(file, parameters, { name, priority, project: invocation.settings.values.project });
  } catch (error) {
    // With --json the problems are the data of the error.
    if (!(error instanceof SpecError) || invocation.json) throw error;
    invocation.err.write(renderSpecProblems(error, file, invocation.err));
    return undefined;
  }
}

/** The configured server, else the embedded stack: the live one, or one that is started now. */
async function connectOrStart(invocation: Invocation): Promise<Connection> {
  const { settings, err, environment } = invocation;
  const configured = await connectConfigured(settings);
  if (configured !== undefined) return configured;
  const live = await findStack(settings.dataDir);
  const what = live === undefined ? "starting the embedded stack" : "using the running stack";
  err.write(`No server is configured: ${what} in ${settings.dataDir}.\n`);
  const stack = live ?? (await startStack(settings.dataDir, environment));
  return localConnection(settings, stack.url);
}
