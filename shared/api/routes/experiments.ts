/** Routes of experiments. */
import * as experiment from "../experiment.ts";
import * as task from "../task.ts";
import { API_PREFIX, bytes, json, type Route } from "./route.ts";

const decision = (verb: string) =>
  ({
    method: "POST",
    path: `${API_PREFIX}/experiments/{experiment}/${verb}`,
    summary: `${verb[0]?.toUpperCase()}${verb.slice(1)} an experiment`,
    tag: "experiments",
    params: experiment.experimentParams,
    body: experiment.DecideExperiment,
    bodyOptional: true,
    answers: { 200: json("Decided and durable", experiment.Decided) },
  }) as const satisfies Route;

export const experimentRoutes = {
  submitExperiment: {
    method: "POST",
    path: `${API_PREFIX}/experiments`,
    summary: "Submit an experiment",
    tag: "experiments",
    body: experiment.SubmitExperiment,
    idempotent: true,
    answers: {
      200: json("The same request was answered before; this is its experiment", experiment.Experiment),
      201: json("Accepted and durable", experiment.Experiment),
    },
  },
  listExperiments: {
    method: "GET",
    path: `${API_PREFIX}/experiments`,
    summary: "List experiments, newest first",
    tag: "experiments",
    query: experiment.listExperimentsQuery,
    answers: { 200: json("One page", experiment.ExperimentPage) },
  },
  getExperiment: {
    method: "GET",
    path: `${API_PREFIX}/experiments/{experiment}`,
    summary: "Show an experiment",
    tag: "experiments",
    params: experiment.experimentParams,
    query: experiment.experimentQuery,
    answers: { 200: json("The experiment", experiment.ExperimentDetail) },
  },
  listTasks: {
    method: "GET",
    path: `${API_PREFIX}/experiments/{experiment}/tasks`,
    summary: "List the tasks of an experiment, in the order of templates and indexes",
    tag: "experiments",
    params: experiment.experimentParams,
    query: task.listTasksQuery,
    answers: { 200: json("One page", task.TaskPage) },
  },
  cancelExperiment: decision("cancel"),
  pauseExperiment: decision("pause"),
  resumeExperiment: decision("resume"),
  retryExperiment: decision("retry"),
  retireExperiment: {
    method: "POST",
    path: `${API_PREFIX}/experiments/{experiment}/retire`,
    summary: "Archive an ended experiment now: its summary stays, its tasks and attempts go",
    tag: "experiments",
    params: experiment.experimentParams,
    answers: { 200: json("Archived, now or before", experiment.Experiment) },
  },
  explainExperiment: {
    method: "GET",
    path: `${API_PREFIX}/experiments/{experiment}/explain`,
    summary: "Why it is where it is: what its tasks wait for, and failures grouped by cause",
    tag: "experiments",
    params: experiment.experimentParams,
    answers: { 200: json("The explanation", experiment.ExperimentExplanation) },
  },
  experimentTimeline: {
    method: "GET",
    path: `${API_PREFIX}/experiments/{experiment}/timeline`,
    summary: "What was decided about an experiment, in order",
    tag: "experiments",
    params: experiment.experimentParams,
    query: experiment.timelineQuery,
    answers: { 200: json("One page", experiment.TimelinePage) },
  },
  listOutputs: {
    method: "GET",
    path: `${API_PREFIX}/experiments/{experiment}/outputs`,
    summary: "List output files of completed tasks",
    tag: "experiments",
    params: experiment.experimentParams,
    query: experiment.listOutputsQuery,
    answers: { 200: json("One page", experiment.OutputPage) },
  },
  readOutput: {
    method: "GET",
    path: `${API_PREFIX}/experiments/{experiment}/outputs/{path}`,
    summary: "Read an output file",
    tag: "experiments",
    params: experiment.outputParams,
    ranges: true,
    answers: { 200: bytes("The whole file"), 206: bytes("The range asked for") },
  },
} as const satisfies Record<string, Route>;
