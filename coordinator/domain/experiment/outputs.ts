/**
 * Output files of completed tasks. They lie at the agents: listing asks those that have them, a page at a time; reading
 * opens what a template declares as output, beneath the directory of the attempt that counts, and nothing else.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { TemplateDefinition } from "../../../shared/model/definition.ts";
import type { AgentId, ExperimentId } from "../../../shared/model/ids.ts";
import { parseGlob } from "../../../shared/spec/glob.ts";
import type { AgentFiles } from "../agent/files.ts";
import { type CountedAttempt, countedAttempts } from "../task/final.ts";
import { templateOf } from "../task/find.ts";
import { type FoundExperiment, findExperiment, type Sources } from "./find.ts";

export interface OutputRecord {
  template: string;
  index: number;
  attempt: number;
  output: string;
  /** `TEMPLATE/INDEX/FILE`. */
  path: string;
  sizeBytes: number;
}

export interface OutputQuery {
  limit: number;
  cursor: string | undefined;
  template: string | undefined;
  index: number | undefined;
  signal: AbortSignal;
}

export interface OutputList {
  items: OutputRecord[];
  nextCursor: string | null;
  /** Sentences about what could not be listed. */
  problems: string[];
}

/** Tasks whose files are asked for in one question. */
const TASKS_PER_QUESTION = 100;
/** Tasks that one page looks at; a page may be short or empty and still have a next one. */
const TASKS_PER_PAGE_MAX = 5_000;

interface Place {
  template: number;
  index: number;
  /** Files of that task that were listed already. */
  skip: number;
}

/** By template, index and path. Throws `experiment_not_found`, `task_not_found`, `cursor_invalid`, `not_leading`. */
export async function listOutputs(
  sources: Sources,
  files: AgentFiles,
  id: ExperimentId,
  query: OutputQuery,
): Promise<OutputList> {
  const found = await findExperiment(sources, id);
  const chosen = query.template === undefined ? undefined : templateOf(found, query.template);
  const start = query.cursor === undefined ? { template: 0, index: 0, skip: 0 } : parseCursor(query.cursor);
  const list: OutputList = { items: [], nextCursor: null, problems: [] };
  let looked = 0;
  for (const template of found.definition.templates) {
    if (template.ordinal < start.template || template.outputs.length === 0) continue;
    if (chosen && chosen.ordinal !== template.ordinal) continue;
    const last = Math.min(query.index ?? template.count - 1, template.count - 1);
    let from = Math.max(template.ordinal === start.template ? start.index : 0, query.index ?? 0);
    while (from <= last) {
      const to = Math.min(from + TASKS_PER_QUESTION - 1, last);
      const outputs = await outputsOf(sources, files, id, template, from, to, list.problems, query.signal);
      const next = take(list, outputs, query.limit, start, template.ordinal);
      from = to + 1;
      looked += TASKS_PER_QUESTION;
      list.nextCursor = next ?? (looked >= TASKS_PER_PAGE_MAX ? `${template.ordinal}.${from}.0` : null);
      if (list.nextCursor !== null) return list;
    }
  }
  return list;
}

/** Moves outputs into the page; the cursor of the first that did not fit. */
function take(
  list: OutputList,
  outputs: OutputRecord[],
  limit: number,
  start: Place,
  template: number,
): string | undefined {
  let index = -1;
  let nth = 0;
  for (const output of outputs) {
    nth = output.index === index ? nth + 1 : 0;
    index = output.index;
    if (template === start.template && index === start.index && nth < start.skip) continue;
    if (list.items.length === limit) return `${template}.${index}.${nth}`;
    list.items.push(output);
  }
  return undefined;
}

async function outputsOf(
  sources: Sources,
  files: AgentFiles,
  experiment: ExperimentId,
  template: TemplateDefinition,
  from: number,
  to: number,
  problems: string[],
  signal: AbortSignal,
): Promise<OutputRecord[]> {
  const attempts = await countedAttempts(sources.history, experiment, template.ordinal, from, to);
  const outputs: OutputRecord[] = [];
  for (const [agent, held] of Map.groupBy(attempts, (attempt) => attempt.agent)) {
    try {
      if (agent === null) continue;
      const group = {
        experiment,
        template: template.ordinal,
        indexes: held.map(({ index }) => index),
        attempts: held.map(({ attempt }) => attempt),
      };
      const listed = await files.list(agent, group, signal);
      if (listed.problem !== undefined) note(problems, listed.problem);
      const attemptOf = new Map(held.map(({ index, attempt }) => [index, attempt]));
      for (const { index, output, path, sizeBytes } of listed.outputs) {
        const attempt = attemptOf.get(index);
        if (attempt === undefined || !safeSegments(path)) continue;
        const full = `${template.name}/${index}/${path}`;
        outputs.push({ template: template.name, index, attempt, output, path: full, sizeBytes });
      }
    } catch (error) {
      if (!(error instanceof AiravataError)) throw error;
      note(problems, `${template.name} ${from} to ${to}: ${error.message}`);
    }
  }
  return outputs.sort((a, b) => a.index - b.index || (a.path < b.path ? -1 : 1));
}

/** The same sentence once, and not without end. */
function note(problems: string[], problem: string): void {
  if (problems.length < 100 && !problems.includes(problem)) problems.push(problem);
}

function parseCursor(cursor: string): Place {
  const match = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})$/.exec(cursor);
  if (match) return { template: Number(match[1]), index: Number(match[2]), skip: Number(match[3]) };
  throw new AiravataError("cursor_invalid", "the cursor is not one of this list; leave it out to begin anew");
}

export interface OpenOutput {
  /** Last part of the path. */
  filename: string;
  sizeBytes: number;
  /** Bytes [from, to). */
  read(from: number, to: number): AsyncIterable<Uint8Array>;
}

/**
 * Finds a file by `TEMPLATE/INDEX/FILE` and asks its agent how large it is. Throws `output_not_found`,
 * `output_outside`, `agent_offline`, `experiment_not_found`, `not_leading`.
 */
export async function openOutput(
  sources: Sources,
  files: AgentFiles,
  id: ExperimentId,
  path: string,
  signal: AbortSignal,
): Promise<OpenOutput> {
  const found = await findExperiment(sources, id);
  const { template, index, file } = splitPath(found, path);
  const [counted] = await countedAttempts(sources.history, id, template.ordinal, index, index);
  if (!counted) throw noOutput(`task ${id}.${template.name}.${index} has not completed, so it has no outputs`);
  const agent = holderOf(counted);
  const request = { experiment: id, template: template.ordinal, index, attempt: counted.attempt, path: file };
  const read = (offset: number, limit: number) =>
    files.read(agent, { file: request, offset, limit, follow: false, signal });
  let sizeBytes = 0;
  for await (const chunk of read(0, 0)) sizeBytes = chunk.totalBytes;
  return {
    filename: file.slice(file.lastIndexOf("/") + 1),
    sizeBytes,
    read: (from, to) => exactly(read(from, to - from), to - from),
  };
}

/** A body whose length was promised: a file that got shorter breaks it off instead of ending it. */
async function* exactly(chunks: AsyncIterable<{ data: Uint8Array }>, length: number): AsyncGenerator<Uint8Array> {
  let rest = length;
  for await (const { data } of chunks) {
    rest -= data.length;
    yield data;
  }
  if (rest > 0) throw new AiravataError("file_changed", `the file became ${rest} bytes shorter while it was read`);
}

function splitPath(
  found: FoundExperiment,
  path: string,
): { template: TemplateDefinition; index: number; file: string } {
  const segments = path.split("/");
  const [templateName = "", index = "", ...rest] = segments;
  const template = found.definition.templates.find(({ name }) => name === templateName);
  if (!template || !/^\d{1,9}$/.test(index) || Number(index) >= template.count || rest.length === 0) {
    throw noOutput("the path of an output is TEMPLATE/INDEX/FILE");
  }
  const file = rest.join("/");
  if (!safeSegments(file)) throw new AiravataError("output_outside", "the path leads out of the task's directory");
  const declared = template.outputs.some(({ glob }) => {
    const parsed = parseGlob(glob);
    return "matches" in parsed && parsed.matches(file);
  });
  if (!declared) throw noOutput(`${file} is none of the outputs that ${template.name} declares`);
  return { template, index: Number(index), file };
}

function holderOf({ agent, attempt }: CountedAttempt): AgentId {
  if (agent !== null) return agent;
  throw noOutput(`nobody knows which agent ran attempt ${attempt}`);
}

function safeSegments(path: string): boolean {
  return path.split("/").every((part) => part !== "" && part !== "." && part !== ".." && !part.includes("\0"));
}

function noOutput(message: string): AiravataError {
  return new AiravataError("output_not_found", message);
}
