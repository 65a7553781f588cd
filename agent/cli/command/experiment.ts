/** `airavata experiment …`: list, show and steer experiments. What follows one through or fetches files stands beside it. */
import type { Command } from "commander";
import type { Experiment, ExperimentDetail } from "../../../shared/api/experiment.ts";
import { EXPERIMENT_STATE_NAMES, TASK_STATE_NAMES } from "../../../shared/model/states.ts";
import { formatCount, humanDuration, humanTime, plural, secondsBetween } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { experimentNumber, taskId, taskName } from "../name.ts";
import { collectPages, LIST_ROWS_DEFAULT, moreLine } from "../page.ts";
import { type Column, renderFields, renderTable } from "../table.ts";
import { explainExperiment } from "./explain.ts";
import { downloadCommand, outputsCommand } from "./outputs.ts";
import { addShareCommands } from "./share.ts";
import { addCommand, addGroup, type Bind, oneOf, wholeNumber } from "./tree.ts";
import { watchCommand } from "./watch.ts";

const LIMIT_OPTION: [string, string, (value: string) => number] = [
  "--limit <n>",
  `at most this many (default ${LIST_ROWS_DEFAULT})`,
  wholeNumber(1),
];

export function addExperimentCommands(program: Command, bind: Bind): void {
  const group = addGroup(program, "experiment", "list, watch and steer experiments");
  addCommand(
    group,
    {
      usage: "list",
      description: "list experiments, newest first",
      options: [
        ["--state <state>", "only those in this state", oneOf(EXPERIMENT_STATE_NAMES)],
        ["--name <name>", "only those with this name"],
        LIMIT_OPTION,
      ],
      examples: ["experiment list --state EXECUTING", "experiment list --json"],
    },
    bind,
    list,
  );
  addCommand(
    group,
    {
      usage: "show <experiment>",
      description: "show one experiment",
      options: [["--spec", "print the file as it was sent"]],
      examples: ["experiment show 17"],
    },
    bind,
    show,
  );
  addCommand(
    group,
    {
      usage: "tasks <experiment>",
      description: "list its tasks",
      options: [
        ["--template <name>", "only tasks of this template"],
        ["--state <state>", "only those in this state; LEASED has those that run, too", oneOf(TASK_STATE_NAMES)],
        LIMIT_OPTION,
      ],
      examples: ["experiment tasks 17 --state FAILED"],
    },
    bind,
    tasks,
  );
  const reason: [string, string] = ["--reason <text>", "kept with the decision"];
  addCommand(
    group,
    {
      usage: "cancel <experiment> [task...]",
      description: "cancel it, or some of its tasks",
      options: [reason],
      examples: ["experiment cancel 17", "experiment cancel 17 17/dock/3"],
    },
    bind,
    (invocation) => decide(invocation, "cancel"),
  );
  addCommand(
    group,
    {
      usage: "pause <experiment>",
      description: "start none of its tasks until it is resumed",
      options: [reason],
      examples: ["experiment pause 17"],
    },
    bind,
    (invocation) => decide(invocation, "pause"),
  );
  addCommand(
    group,
    {
      usage: "resume <experiment>",
      description: "go on with a paused one",
      options: [reason],
      examples: ["experiment resume 17"],
    },
    bind,
    (invocation) => decide(invocation, "resume"),
  );
  addCommand(
    group,
    {
      usage: "retry <experiment> [task...]",
      description: "run what failed again, or some tasks",
      options: [reason],
      examples: ["experiment retry 17", "experiment retry 17 17/dock/3"],
    },
    bind,
    (invocation) => decide(invocation, "retry"),
  );
  addCommand(
    group,
    {
      usage: "archive <experiment>",
      description: "archive an ended one now: its summary stays, its tasks and attempts go",
      options: [],
      examples: ["experiment archive 17"],
    },
    bind,
    archive,
  );
  addCommand(
    group,
    {
      usage: "outputs <experiment>",
      description: "list its output files",
      options: [
        ["--template <name>", "only of this template"],
        ["--index <n>", "only of the task with this index", wholeNumber(0)],
        LIMIT_OPTION,
      ],
      examples: ["experiment outputs 17", "experiment outputs 17 --template dock --index 3"],
    },
    bind,
    outputsCommand,
  );
  addCommand(
    group,
    {
      usage: "download <experiment>",
      description: "fetch its output files",
      options: [
        ["--output-dir <dir>", "where to put them (default experiment-N)"],
        ["--template <name>", "only of this template"],
      ],
      examples: ["experiment download 17 --output-dir results"],
    },
    bind,
    downloadCommand,
  );
  addShareCommands(group, bind);
  addCommand(
    group,
    {
      usage: "watch <experiment>",
      description: "follow it to its end",
      options: [],
      examples: ["experiment watch 17", "experiment watch 17 --json"],
    },
    bind,
    watchCommand,
  );
  addCommand(
    group,
    {
      usage: "explain <experiment>",
      description: "say why it is where it is",
      options: [],
      examples: ["experiment explain 17"],
    },
    bind,
    explainExperiment,
  );
}

const COLUMNS: Column<Experiment>[] = [
  { title: "ID", value: (e) => e.id, align: "right" },
  { title: "NAME", value: (e) => e.name },
  { title: "STATE", value: (e) => e.state, whole: true },
  { title: "DONE", value: (e) => `${formatCount(e.tasks.completed)}/${formatCount(e.tasks.total)}`, align: "right" },
  { title: "FAILED", value: (e) => formatCount(e.tasks.failed), align: "right" },
  { title: "SUBMITTED", value: (e) => humanTime(e.submitted_at), whole: true, optional: true },
  { title: "TOOK", value: (e) => humanDuration(secondsBetween(e.submitted_at, e.ended_at)), align: "right" },
];
const PROJECT_COLUMN: Column<Experiment> = { title: "PROJECT", value: (e) => e.project, optional: true };

async function list(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { state, name, limit = LIST_ROWS_DEFAULT } = invocation.options;
  const page = await collectPages(limit as number, (pageQuery) =>
    client.call("listExperiments", {
      query: {
        ...pageQuery,
        state: state as Experiment["state"] | undefined,
        name: name as string | undefined,
        project: invocation.settings.values.project,
      },
    }),
  );
  if (invocation.json) return printJson(invocation, page) as undefined;
  // A column that says the same everywhere would only take room from the names.
  const projects = new Set(page.items.map(({ project }) => project));
  const columns = projects.size > 1 ? [...COLUMNS, PROJECT_COLUMN] : COLUMNS;
  invocation.out.write(renderTable(columns, page.items, invocation.out, "No experiments."));
  invocation.out.write(moreLine(page));
}

async function show(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const experiment = await client.call("getExperiment", {
    params: { experiment: experimentNumber(invocation.args[0]) },
    query: { include: invocation.options.spec ? "spec" : "run_times" },
  });
  if (invocation.json) return printJson(invocation, experiment) as undefined;
  if (invocation.options.spec) return invocation.out.write(experiment.spec ?? "") as undefined;
  invocation.out.write(
    renderFields(
      [
        ["experiment", experiment.id],
        ["name", experiment.name],
        ["project", experiment.project],
        ["state", experiment.state],
        ["priority", experiment.priority],
        ["submitted", humanTime(experiment.submitted_at)],
        ["ended", humanTime(experiment.ended_at)],
        ...archiveFields(experiment),
        [
          "parameters",
          Object.entries(experiment.parameters)
            .map(([name, value]) => `${name}=${value}`)
            .join(" "),
        ],
      ],
      invocation.out,
    ),
  );
  invocation.out.write(`\n${templateTable(experiment, invocation.out)}`);
}

/** What an archived one says of itself. */
function archiveFields({ archived_at, archive }: ExperimentDetail): [string, string | null][] {
  if (archived_at === undefined) return [];
  const used = archive?.resources;
  return [
    ["archived", humanTime(archived_at)],
    ["archive file", archive?.file?.path ?? "none was written"],
    [
      "resources",
      used
        ? `${plural(used.attempts, "attempt")}, ${humanDuration(used.core_seconds)} of cores held, ${humanDuration(used.cpu_seconds)} of processor time`
        : null,
    ],
  ];
}

/** Counts and run times per template: the body of `show` and the end of `run`. */
export function templateTable(experiment: ExperimentDetail, screen: Invocation["out"]): string {
  type Template = ExperimentDetail["templates"][number];
  const count = (title: string, of: (tasks: Template["tasks"]) => number): Column<Template> => ({
    title,
    value: (template) => formatCount(of(template.tasks)),
    align: "right",
  });
  const all = experiment.templates.map((template) => template.tasks);
  const columns: Column<Template>[] = [
    { title: "TEMPLATE", value: (template) => template.name },
    count("TASKS", (tasks) => tasks.total),
    count("COMPLETED", (tasks) => tasks.completed),
    count("FAILED", (tasks) => tasks.failed),
  ];
  const time = (title: string, of: (time: NonNullable<Template["run_time"]>) => number): Column<Template> => ({
    title,
    value: (template) => humanDuration(template.run_time && of(template.run_time)),
    align: "right",
    optional: true,
  });
  // States that no task is in would only widen the table.
  if (all.some((tasks) => tasks.canceled > 0)) columns.push(count("CANCELED", (tasks) => tasks.canceled));
  if (all.some((tasks) => tasks.leased > 0)) columns.push(count("RUNNING", (tasks) => tasks.leased));
  if (all.some((tasks) => tasks.queued > 0)) columns.push(count("QUEUED", (tasks) => tasks.queued));
  if (all.some((tasks) => tasks.waiting > 0)) columns.push(count("WAITING", (tasks) => tasks.waiting));
  columns.push(
    time("MEDIAN", (taken) => taken.median_seconds),
    time("LONGEST", (taken) => taken.max_seconds),
  );
  return renderTable(columns, experiment.templates, screen, "No templates.");
}

async function tasks(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { template, state, limit = LIST_ROWS_DEFAULT } = invocation.options;
  const params = { experiment: experimentNumber(invocation.args[0]) };
  const page = await collectPages(limit as number, (pageQuery) =>
    client.call("listTasks", {
      params,
      query: { ...pageQuery, template: template as string | undefined, state: state as never },
    }),
  );
  if (invocation.json) return printJson(invocation, page) as undefined;
  const columns: Column<(typeof page.items)[number]>[] = [
    { title: "TASK", value: (task) => taskName(task.id), whole: true },
    { title: "STATE", value: (task) => (task.state === "LEASED" ? (task.phase ?? task.state) : task.state) },
    { title: "ATTEMPT", value: (task) => task.attempt, align: "right" },
    { title: "FAILURES", value: (task) => task.tried_user + task.tried_infrastructure, align: "right" },
    { title: "AGENT", value: (task) => task.agent, align: "right" },
    { title: "NOT BEFORE", value: (task) => humanTime(task.not_before), whole: true, optional: true },
  ];
  invocation.out.write(renderTable(columns, page.items, invocation.out, "No such tasks."));
  invocation.out.write(moreLine(page));
}

async function archive(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const params = { experiment: experimentNumber(invocation.args[0]) };
  const archived = await client.call("retireExperiment", { params });
  if (invocation.json) return printJson(invocation, archived) as undefined;
  invocation.out.write(
    `Experiment ${archived.id} (${archived.name}) is archived; its summary stays: airavata experiment show ${archived.id}\n`,
  );
}

const DECISIONS = {
  cancel: { route: "cancelExperiment", done: "canceled" },
  pause: { route: "pauseExperiment", done: "paused" },
  resume: { route: "resumeExperiment", done: "resumed" },
  retry: { route: "retryExperiment", done: "to run again" },
} as const;

async function decide(invocation: Invocation, verb: keyof typeof DECISIONS): Promise<undefined> {
  const { client } = await invocation.connect();
  const [experiment, ...tasks] = invocation.args.filter((word) => word !== undefined);
  const { route, done } = DECISIONS[verb];
  const decided = await client.call(route, {
    params: { experiment: experimentNumber(experiment) },
    body: {
      reason: invocation.options.reason as string | undefined,
      tasks: tasks.length === 0 ? undefined : tasks.map(taskId),
    },
  });
  if (invocation.json) return printJson(invocation, decided) as undefined;
  const { id, name, state } = decided.experiment;
  const what = verb === "cancel" || verb === "retry" ? `${plural(decided.affected, "task")} ${done}` : done;
  invocation.out.write(`Experiment ${id} (${name}): ${what}, now ${state}.\n`);
}
