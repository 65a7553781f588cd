/** Failed tasks grouped by cause: how many, what happened, one of them, and the last lines that it said. */
import type { FailureGroup } from "../../shared/api/experiment.ts";
import { plural } from "./format.ts";
import { taskName } from "./name.ts";
import { fitWidth, printable, printableLine, type Screen } from "./terminal.ts";

const GROUPS_SHOWN = 8;
const LINES_SHOWN = 6;
/** Of one line, also in a pipe: a task may have written a megabyte without a newline. */
const COLUMNS_MAX = 400;

const CAUSES: Record<string, string> = {
  signal: "ended by a signal",
  timeout: "ran longer than its time limit",
  oom: "killed for memory",
  spawn: "could not be started",
  output: "a named output is missing or leads outside",
  disk: "no space left on the agent's disk",
  runner_lost: "the runner process died",
  agent_lost: "its agent was lost",
  not_held: "its agent no longer knew it",
  canceled: "canceled",
  allocation: "the allocation around its agent ended",
  agent: "the agent could not prepare it",
};

/** Largest group first, one paragraph each. */
export function renderFailures(groups: FailureGroup[], screen: Pick<Screen, "columns" | "paint">): string {
  const sorted = [...groups].sort((a, b) => b.tasks - a.tasks);
  const shown = sorted.slice(0, GROUPS_SHOWN).map((group) => renderGroup(group, screen));
  const rest = sorted.slice(GROUPS_SHOWN);
  if (rest.length > 0) {
    const tasks = rest.reduce((sum, group) => sum + group.tasks, 0);
    shown.push(`${plural(tasks, "more failed task")} with ${plural(rest.length, "other cause")}.\n`);
  }
  return shown.join("\n");
}

/** `exit code 3`, `ran longer than its time limit`, `killed by signal 11`. */
export function causeText(failure: Pick<FailureGroup, "blame" | "exit_code" | "signal">): string {
  if (failure.blame === "exit") return `exit code ${failure.exit_code ?? "unknown"}`;
  if (failure.blame === "signal" && failure.signal) return `ended by signal ${failure.signal}`;
  return CAUSES[failure.blame] ?? failure.blame;
}

function renderGroup(group: FailureGroup, screen: Pick<Screen, "columns" | "paint">): string {
  const example = taskName(group.example);
  const head = `${plural(group.tasks, "task")} of ${printableLine(group.template)} failed: ${causeText(group)}`;
  const lines = [screen.paint("red", head)];
  if (group.detail) lines.push(`  ${printableLine(group.detail)}`);
  const tail = printable(group.stderr_tail ?? "").trimEnd();
  const said = tail === "" ? [] : tail.split("\n").slice(-LINES_SHOWN);
  lines.push(
    `  for example ${example}${said.length > 0 ? ", which said:" : ", which wrote nothing to its error output"}`,
  );
  const width = (screen.columns || COLUMNS_MAX) - 6;
  for (const line of said) lines.push(screen.paint("dim", `    | ${fitWidth(line, width)}`));
  return `${lines.join("\n")}\n`;
}
