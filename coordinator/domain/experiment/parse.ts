/**
 * Parses experiment files without holding up the loop that serves sockets: a small one at once, a large one (a megabyte
 * of YAML takes a second) on a thread of its own, one after the other. The thread ends when it has been idle for a while,
 * and is ended when a file takes too long.
 */
import { Worker } from "node:worker_threads";
import { AiravataError } from "../../../shared/error/error.ts";
import type { ExperimentDefinition } from "../../../shared/model/definition.ts";
import { parseExperiment, type SpecOptions, type SpecSource } from "../../../shared/spec/parse.ts";
import { SpecError, type SpecProblem } from "../../../shared/spec/problem.ts";

export interface ParseRequest {
  source: SpecSource;
  overrides: Record<string, string>;
  options: SpecOptions;
}

/** What the thread answers. */
export type ParseAnswer =
  | { definition: ExperimentDefinition }
  | { problems: SpecProblem[]; total: number }
  | { failure: string };

/** About 10 ms of parsing. */
const INLINE_BYTES_MAX = 8 * 1024;
/** Files that wait for the thread: with a second each, who comes later would wait longer than clients do. */
const WAITING_MAX = 30;
const PARSE_LIMIT_MS = 30_000;
const IDLE_MS = 30_000;

interface Job {
  request: ParseRequest;
  resolve(definition: ExperimentDefinition): void;
  reject(error: unknown): void;
}

const jobs: Job[] = [];
let worker: Worker | undefined;
let timer: NodeJS.Timeout | undefined;

/** `sizeBytes` is the text's. Throws SpecError, or `coordinator_busy` when too many files wait. */
export async function parseSpec(request: ParseRequest, sizeBytes: number): Promise<ExperimentDefinition> {
  if (sizeBytes <= INLINE_BYTES_MAX) {
    return parseExperiment(request.source, request.overrides, request.options).definition;
  }
  if (jobs.length >= WAITING_MAX) {
    throw new AiravataError("coordinator_busy", `${WAITING_MAX} large experiment files wait to be parsed; try again`);
  }
  return new Promise((resolve, reject) => {
    jobs.push({ request, resolve, reject });
    if (jobs.length === 1) begin();
  });
}

/** Sends the first job to the thread; it stays first until it is answered. */
function begin(): void {
  clearTimeout(timer);
  const job = jobs[0];
  if (!job) {
    timer = setTimeout(stop, IDLE_MS);
    timer.unref();
    worker?.unref();
    return;
  }
  worker ??= start();
  worker.ref();
  timer = setTimeout(() => {
    stop();
    const text = `the experiment file takes longer than ${PARSE_LIMIT_MS / 1000} s to parse; make it smaller`;
    finish((one) => one.reject(new AiravataError("spec_too_large", text)));
  }, PARSE_LIMIT_MS);
  worker.postMessage(job.request);
}

function finish(settle: (job: Job) => void): void {
  const job = jobs.shift();
  if (job) settle(job);
  begin();
}

function start(): Worker {
  const started = new Worker(new URL("./parse-worker.ts", import.meta.url));
  const failed = (error: unknown): void => {
    if (worker !== started) return;
    worker = undefined;
    finish((job) => job.reject(error));
  };
  started.on("message", (answer: ParseAnswer) => {
    if (worker === started) finish((job) => settle(job, answer));
  });
  started.on("error", failed);
  started.on("exit", (code) => failed(new Error(`the parsing thread ended with ${code}`)));
  return started;
}

function settle(job: Job, answer: ParseAnswer): void {
  if ("definition" in answer) job.resolve(answer.definition);
  else if ("problems" in answer) job.reject(new SpecError(answer.problems, answer.total));
  else job.reject(new Error(answer.failure));
}

function stop(): void {
  const ending = worker;
  worker = undefined;
  void ending?.terminate();
}
