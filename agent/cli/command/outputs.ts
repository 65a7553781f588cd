/** `airavata experiment outputs` and `download`: the files that completed tasks left. */
import { resolve } from "node:path";
import type { Output } from "../../../shared/api/experiment.ts";
import { Exit } from "../../../shared/error/exit.ts";
import { downloadOutputs } from "../download.ts";
import { humanBytes, plural } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { experimentNumber, taskName } from "../name.ts";
import { collectPages, LIST_ROWS_DEFAULT, moreLine } from "../page.ts";
import { type Column, renderTable } from "../table.ts";
import { printableLine } from "../terminal.ts";

export async function outputsCommand(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { template, index, limit = LIST_ROWS_DEFAULT } = invocation.options;
  const params = { experiment: experimentNumber(invocation.args[0]) };
  const problems = new Set<string>();
  const page = await collectPages(limit as number, async (pageQuery) => {
    const query = { ...pageQuery, template: template as string | undefined, index: index as number | undefined };
    const answer = await client.call("listOutputs", { params, query });
    for (const problem of answer.problems) problems.add(problem);
    return answer;
  });
  if (invocation.json) return printJson(invocation, { ...page, problems: [...problems] }) as undefined;
  const columns: Column<Output>[] = [
    { title: "TASK", value: (output) => taskName(output.task), whole: true },
    { title: "OUTPUT", value: (output) => output.output },
    { title: "SIZE", value: (output) => humanBytes(output.size_bytes), align: "right" },
    { title: "PATH", value: (output) => output.path },
  ];
  invocation.out.write(renderTable(columns, page.items, invocation.out, "No outputs."));
  invocation.out.write(moreLine(page));
  for (const problem of problems) invocation.err.write(`note: ${printableLine(problem)}\n`);
}

/** Exit 1 when something could not be fetched. */
export async function downloadCommand(invocation: Invocation): Promise<number> {
  const experiment = experimentNumber(invocation.args[0]);
  const given = invocation.options.outputDir as string | undefined;
  const { client } = await invocation.connect();
  // Asked first, so that an experiment that does not exist leaves no directory behind.
  await client.call("getExperiment", { params: { experiment } });
  return download(invocation, client, experiment, resolve(given ?? `experiment-${experiment}`));
}

/** Fetches and says so; also the end of `run --output-dir`. */
export async function download(
  invocation: Invocation,
  client: Parameters<typeof downloadOutputs>[0]["client"],
  experiment: number,
  directory: string,
): Promise<number> {
  const { err } = invocation;
  const done = await downloadOutputs({
    client,
    experiment,
    directory,
    template: invocation.options.template as string | undefined,
    onFile: (files, bytes) => {
      if (err.isTerminal) err.write(`\r\u001b[K${plural(files, "file")}, ${humanBytes(bytes)}`);
    },
  });
  if (err.isTerminal) err.write("\r\u001b[K");
  if (invocation.json) printJson(invocation, { event: "downloaded", ...done });
  else if (done.files === 0) invocation.out.write("No output files.\n");
  else invocation.out.write(`${plural(done.files, "output file")} (${humanBytes(done.bytes)}) in ${done.directory}\n`);
  for (const problem of done.problems) err.write(`note: ${printableLine(problem)}\n`);
  return done.problems.length > 0 ? Exit.FAILED : Exit.DONE;
}
