/** The end of a watched experiment: how it went, a line per template, where the outputs are, and failures by cause. */
import type { Client } from "../../shared/api/client.ts";
import type { ExperimentDetail } from "../../shared/api/experiment.ts";
import { templateTable } from "./command/experiment.ts";
import { renderFailures } from "./failures.ts";
import { humanDuration, plural, secondsBetween } from "./format.ts";
import { type Invocation, printJson } from "./invocation.ts";
import { outputsText } from "./outputs.ts";
import { printableLine } from "./terminal.ts";

const STYLES = { COMPLETED: "green", FAILED: "red", CANCELED: "yellow" } as const;

/** Writes it to standard output; with `--json` one line with the same facts. */
export async function writeSummary(
  invocation: Invocation,
  client: Client,
  final: ExperimentDetail,
  localDataDir: string | undefined,
): Promise<void> {
  const explanation =
    final.tasks.failed > 0
      ? await client.call("explainExperiment", { params: { experiment: final.id } })
      : { failures: [] };
  const seconds = secondsBetween(final.submitted_at, final.ended_at);
  if (invocation.json) {
    printJson(invocation, { event: "ended", experiment: final, failures: explanation.failures, seconds });
    return;
  }
  const { out } = invocation;
  const state = out.paint(STYLES[final.state as keyof typeof STYLES] ?? "bold", final.state);
  out.write(
    `${printableLine(final.name)} (experiment ${final.id}): ${state}, ${plural(final.tasks.total, "task")} in ${humanDuration(seconds)}\n\n`,
  );
  out.write(templateTable(final, out));
  if (explanation.failures.length > 0) out.write(`\n${renderFailures(explanation.failures, out)}`);
  const hasOutputs = final.templates.some(
    (template) => Object.keys(template.outputs).length > 0 && template.tasks.completed > 0,
  );
  if (hasOutputs) out.write(`\n${outputsText(final.id, localDataDir)}`);
}
