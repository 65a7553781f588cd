/** "Why is it not running, why did it fail": the recorded facts of an experiment or a task, as sentences. */
import type { z } from "zod";
import type { Client } from "../../../shared/api/client.ts";
import type { FailureGroup, Reason } from "../../../shared/api/experiment.ts";
import { causeText, renderFailures } from "../failures.ts";
import { plural } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { experimentNumber, taskId, taskName } from "../name.ts";
import { collectPages } from "../page.ts";
import { printableLine } from "../terminal.ts";

/** A task has few; the last one is shown. */
const ATTEMPTS_READ_MAX = 5_000;

export async function explainExperiment(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const experiment = experimentNumber(invocation.args[0]);
  const explanation = await client.call("explainExperiment", { params: { experiment } });
  if (invocation.json) return printJson(invocation, explanation) as undefined;
  const { out } = invocation;
  out.write(`Experiment ${experiment} is ${explanation.state}.\n`);
  writeReasons(invocation, explanation.reasons, "  ");
  for (const { template, tasks, example, reasons } of explanation.waiting) {
    out.write(`\n${printableLine(template)}: ${plural(tasks, "task")} unfinished, for example ${taskName(example)}\n`);
    writeReasons(invocation, reasons, "  ");
  }
  const failures: FailureGroup[] = explanation.failures;
  if (failures.length > 0) out.write(`\n${renderFailures(failures, out)}`);
}

export async function explainTask(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const explanation = await client.call("explainTask", { params: { task: taskId(invocation.args[0]) } });
  if (invocation.json) return printJson(invocation, explanation) as undefined;
  invocation.out.write(`Task ${taskName(explanation.task)} is ${explanation.state}.\n`);
  writeReasons(invocation, explanation.reasons, "  ");
  if (explanation.state === "FAILED") await writeLastAttempt(invocation, client, explanation.task);
}

async function writeLastAttempt({ out }: Invocation, client: Client, task: string): Promise<void> {
  const attempts = await collectPages(ATTEMPTS_READ_MAX, (query) =>
    client.call("listAttempts", { params: { task }, query }),
  );
  const last = attempts.items.at(-1);
  if (last === undefined || last.blame === null) return;
  const { blame, exit_code, signal, detail } = last;
  const where = last.agent_name === null ? "" : ` on ${printableLine(last.agent_name)}`;
  out.write(`  Attempt ${last.attempt}${where}: ${causeText({ blame, exit_code, signal })}.\n`);
  if (detail) out.write(`    ${printableLine(detail)}\n`);
}

function writeReasons(invocation: Invocation, reasons: z.infer<typeof Reason>[], indent: string): void {
  for (const reason of reasons) {
    const code = invocation.out.paint("dim", `[${reason.code}]`);
    invocation.out.write(`${indent}${printableLine(reason.message)} ${code}\n`);
  }
}
