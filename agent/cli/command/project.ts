/** `airavata project list|show|create|set`: weights and limits of projects, and how they stand. */
import type { Command } from "commander";
import type { Project } from "../../../shared/api/project.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { parseDuration } from "../../../shared/time/duration.ts";
import { humanDuration, humanTime } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { type Column, renderTable } from "../table.ts";
import { addProjectMemberCommands } from "./project-members.ts";
import { addCommand, addGroup, type Bind, type CommandSpec } from "./tree.ts";

const CHANGES: CommandSpec["options"] = [
  ["--weight <n>", "its share is proportional to it (1 when never said)"],
  ["--max-running-tasks <n>", 'tasks with agents at once; "none" takes the limit away, here and below'],
  ["--max-cpus <n>", "cpus of those tasks together"],
  ["--max-cpu-hours <n>", "cpu-hours per period"],
  ["--per <duration>", "length of a period (30d when never said); another one begins now"],
  ["--on-removal <what>", "keep, pause or cancel the unfinished experiments of whoever may not submit any more"],
];

export function addProjectCommands(program: Command, bind: Bind): void {
  const group = addGroup(program, "project", "projects: shares and limits");
  addCommand(
    group,
    { usage: "list", description: "list projects with how they stand", examples: ["project list"] },
    bind,
    list,
  );
  addCommand(
    group,
    { usage: "show <name>", description: "show a project", examples: ["project show physics"] },
    bind,
    show,
  );
  addCommand(
    group,
    {
      usage: "create <name>",
      description: "make a project",
      options: CHANGES,
      examples: ["project create physics --weight 2"],
    },
    bind,
    create,
  );
  addCommand(
    group,
    {
      usage: "set <name>",
      description: "change weight or limits; nothing that runs is ended",
      options: CHANGES,
      examples: [
        "project set physics --max-running-tasks 100 --max-cpu-hours 1000 --per 30d",
        "project set physics --max-cpus none",
        "project set physics --on-removal pause",
      ],
    },
    bind,
    set,
  );
  addProjectMemberCommands(group, bind);
}

async function list(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const page = await client.call("listProjects", {});
  if (invocation.json) return printJson(invocation, page) as undefined;
  const columns: Column<Project>[] = [
    { title: "NAME", value: (project) => project.name },
    { title: "WEIGHT", value: (project) => project.weight, align: "right" },
    { title: "SHARE", value: (project) => percent(project.share), align: "right" },
    { title: "USED", value: (project) => percent(project.used), align: "right" },
    { title: "QUEUED", value: (project) => project.queued, align: "right" },
    { title: "RUNNING", value: (project) => of(project.running, project.max_running_tasks), align: "right" },
    { title: "CPUS", value: (project) => of(project.cpus, project.max_cpus), align: "right" },
    { title: "CPU-HOURS", value: (project) => of(project.period_cpu_hours, project.max_cpu_hours), align: "right" },
  ];
  invocation.out.write(renderTable(columns, page.items, invocation.out, "No projects."));
}

async function show(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  print(invocation, await client.call("getProject", { params: { project: nameOf(invocation) } }));
}

async function create(invocation: Invocation): Promise<undefined> {
  const body = { name: nameOf(invocation), ...changesOf(invocation) };
  const { client } = await invocation.connect();
  print(invocation, await client.call("createProject", { body }));
}

async function set(invocation: Invocation): Promise<undefined> {
  const body = changesOf(invocation);
  if (Object.values(body).every((value) => value === undefined)) {
    throw new AiravataError("usage_invalid", 'Nothing is to be changed: see "airavata project set --help".');
  }
  const { client } = await invocation.connect();
  print(invocation, await client.call("changeProject", { params: { project: nameOf(invocation) }, body }));
}

function nameOf(invocation: Invocation): string {
  return invocation.args[0] ?? "";
}

function changesOf({ options }: Invocation) {
  const { weight, maxRunningTasks, maxCpus, maxCpuHours, per, onRemoval } = options as Record<
    string,
    string | undefined
  >;
  const periodMs = per === undefined ? undefined : parseDuration(per);
  if (per !== undefined && (periodMs === undefined || periodMs < 3_600_000)) {
    throw new AiravataError("usage_invalid", `--per is "${per}" but must be a duration of at least 1h, like 30d.`);
  }
  return {
    weight: numberOf("--weight", weight) ?? undefined,
    max_running_tasks: limitOf("--max-running-tasks", maxRunningTasks),
    max_cpus: limitOf("--max-cpus", maxCpus),
    max_cpu_hours: limitOf("--max-cpu-hours", maxCpuHours),
    period_seconds: periodMs === undefined ? undefined : Math.round(periodMs / 1000),
    on_removal: policyOf(onRemoval),
  };
}

function policyOf(text: string | undefined): Project["on_removal"] | undefined {
  if (text === undefined || text === "keep" || text === "pause" || text === "cancel") return text;
  throw new AiravataError("usage_invalid", `--on-removal is "${text}" but must be keep, pause or cancel.`);
}

function limitOf(flag: string, text: string | undefined): number | null | undefined {
  return text === "none" ? null : numberOf(flag, text);
}

function numberOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}(\.\d{1,6})?$/.test(text)) return Number(text);
  throw new AiravataError("usage_invalid", `${flag} is "${text}" but must be a number.`);
}

function print(invocation: Invocation, project: Project): void {
  if (invocation.json) {
    printJson(invocation, project);
    return;
  }
  const lines: [string, string][] = [
    ["project", project.name],
    ["weight", `${project.weight}`],
    ["share", project.share > 0 ? `${percent(project.share)} of the projects that have work now` : "no work now"],
    ["used", `${percent(project.used)}, ${percent(project.used_recently)} of the last minutes`],
    ["queued", `${project.queued}`],
    ["running", of(project.running, project.max_running_tasks)],
    ["cpus", of(project.cpus, project.max_cpus)],
    [
      "cpu-hours",
      `${of(project.period_cpu_hours, project.max_cpu_hours)} per ${humanDuration(project.period_seconds)}`,
    ],
    ["next period", humanTime(project.period_ends_at)],
    ["on removal", `${project.on_removal} the work of whoever may not submit any more`],
  ];
  for (const [name, value] of lines) invocation.out.write(`${name.padEnd(12)} ${value}\n`);
}

function of(value: number, limit: number | null): string {
  const short = Math.round(value * 100) / 100;
  return limit === null ? `${short}` : `${short} of ${limit}`;
}

function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}
