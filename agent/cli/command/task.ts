/** `airavata task …`: one task, its attempts, its output, why it is where it is. */
import type { Command } from "commander";
import type { Attempt } from "../../../shared/api/task.ts";
import { causeText } from "../failures.ts";
import { drawingOn, usageFields } from "../figures.ts";
import { humanBytes, humanDuration, humanTime, plural, secondsBetween } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { taskId, taskName } from "../name.ts";
import { collectPages } from "../page.ts";
import { type Column, renderFields, renderTable } from "../table.ts";
import { explainTask } from "./explain.ts";
import { logsCommand } from "./logs.ts";
import { addCommand, addGroup, type Bind, wholeNumber } from "./tree.ts";

/** A person gets the latest ones; programs get what the server gives in one go. */
const ATTEMPTS_SHOWN = 20;
const ATTEMPTS_READ_MAX = 5_000;

export function addTaskCommands(program: Command, bind: Bind): void {
  const group = addGroup(program, "task", "look at single tasks (EXPERIMENT/TEMPLATE/INDEX)");
  addCommand(
    group,
    { usage: "show <task>", description: "show a task and its attempts", examples: ["task show 17/dock/42"] },
    bind,
    show,
  );
  addCommand(
    group,
    {
      usage: "logs <task>",
      description: "print what it wrote",
      options: [
        ["-f, --follow", "go on until the attempt ends"],
        ["--stderr", "its error output instead of its standard output"],
        ["--attempt <n>", "of this attempt (default: the latest)", wholeNumber(1)],
      ],
      examples: ["task logs 17/dock/42", "task logs 17/dock/42 --stderr --follow"],
    },
    bind,
    logsCommand,
  );
  addCommand(
    group,
    { usage: "explain <task>", description: "say why it is where it is", examples: ["task explain 17/dock/42"] },
    bind,
    explainTask,
  );
  addCommand(
    group,
    {
      usage: "cancel <task>",
      description: "cancel one task",
      options: [["--reason <text>", "kept with the decision"]],
      examples: ["task cancel 17/dock/42"],
    },
    bind,
    cancel,
  );
}

async function show(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const params = { task: taskId(invocation.args[0]) };
  const [task, attempts] = await Promise.all([
    client.call("getTask", { params }),
    collectPages(ATTEMPTS_READ_MAX, (query) => client.call("listAttempts", { params, query })),
  ]);
  if (invocation.json) return printJson(invocation, { ...task, attempts: attempts.items }) as undefined;
  const { out } = invocation;
  const usage = task.usage ? usageFields(task.usage, drawingOn(out, invocation.environment)) : [];
  out.write(
    renderFields(
      [
        ["task", taskName(task.id)],
        ["state", task.phase === null ? task.state : `${task.state} (${task.phase})`],
        ["failures", `${task.tried_user} of its own, ${task.tried_infrastructure} of the site`],
        ["not before", humanTime(task.not_before)],
        ...(task.started_at ? [startedField(task.started_at)] : []),
        ...usage,
        [
          "inputs",
          Object.entries(task.inputs)
            .map(([name, value]) => `${name}=${value}`)
            .join(" "),
        ],
      ],
      out,
    ),
  );
  const columns: Column<Attempt>[] = [
    { title: "ATTEMPT", value: (attempt) => attempt.attempt, align: "right" },
    { title: "OUTCOME", value: outcomeText, whole: true },
    { title: "AGENT", value: (attempt) => attempt.agent_name ?? attempt.agent },
    { title: "STARTED", value: (attempt) => humanTime(attempt.started_at), whole: true, optional: true },
    {
      title: "TOOK",
      value: (attempt) => humanDuration(secondsBetween(attempt.started_at, attempt.ended_at)),
      align: "right",
    },
    {
      title: "CPU",
      value: (attempt) => humanDuration(attempt.ended_at ? attempt.cpu_seconds : null),
      align: "right",
      optional: true,
    },
    {
      title: "MEMORY",
      value: (attempt) => (attempt.memory_max_bytes ? humanBytes(attempt.memory_max_bytes) : null),
      align: "right",
      optional: true,
    },
    { title: "READ", value: (attempt) => bytesOrNone(attempt.read_bytes), align: "right", optional: true },
    { title: "WRITTEN", value: (attempt) => bytesOrNone(attempt.written_bytes), align: "right", optional: true },
  ];
  const latest = attempts.items.slice(-ATTEMPTS_SHOWN);
  const earlier = attempts.items.length - latest.length;
  out.write(`\n${renderTable(columns, latest, out, "No attempt yet.")}`);
  if (earlier > 0) out.write(`${plural(earlier, "earlier attempt")}; all of them with --json.\n`);
  for (const { attempt, detail } of latest) {
    if (detail) out.write(renderFields([[`attempt ${attempt}`, detail]], out));
  }
}

function startedField(startedAt: string): [string, string] {
  const ranSeconds = secondsBetween(startedAt, new Date().toISOString());
  return ["started", `${humanTime(startedAt)}, ${humanDuration(ranSeconds)} ago`];
}

function bytesOrNone(bytes: number | undefined): string | null {
  return bytes ? humanBytes(bytes) : null;
}

function outcomeText(attempt: Attempt): string {
  if (attempt.outcome === null) return "not ended yet";
  if (attempt.outcome === "COMPLETED" || attempt.blame === null) return attempt.outcome;
  const cause = causeText({ blame: attempt.blame, exit_code: attempt.exit_code, signal: attempt.signal });
  return `${attempt.outcome}: ${cause}`;
}

async function cancel(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const task = await client.call("cancelTask", {
    params: { task: taskId(invocation.args[0]) },
    body: { reason: invocation.options.reason as string | undefined },
  });
  if (invocation.json) return printJson(invocation, task) as undefined;
  invocation.out.write(`Task ${taskName(task.id)} is ${task.state}.\n`);
}
