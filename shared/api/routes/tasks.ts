/** Routes of tasks. */
import * as task from "../task.ts";
import { API_PREFIX, bytes, json, type Route } from "./route.ts";

export const taskRoutes = {
  getTask: {
    method: "GET",
    path: `${API_PREFIX}/tasks/{task}`,
    summary: "Show a task",
    tag: "tasks",
    params: task.taskParams,
    answers: { 200: json("The task", task.TaskDetail) },
  },
  listAttempts: {
    method: "GET",
    path: `${API_PREFIX}/tasks/{task}/attempts`,
    summary: "List the attempts of a task",
    tag: "tasks",
    params: task.taskParams,
    query: task.listAttemptsQuery,
    answers: { 200: json("One page", task.AttemptPage) },
  },
  readLog: {
    method: "GET",
    path: `${API_PREFIX}/tasks/{task}/logs`,
    summary: "Read or follow standard output or error of an attempt",
    tag: "tasks",
    params: task.taskParams,
    query: task.logQuery,
    answers: {
      200: bytes("The bytes; `Airavata-Attempt` names the attempt, `Airavata-Total-Bytes` the size known at the start"),
    },
  },
  explainTask: {
    method: "GET",
    path: `${API_PREFIX}/tasks/{task}/explain`,
    summary: "Why a task is where it is",
    tag: "tasks",
    params: task.taskParams,
    answers: { 200: json("The explanation", task.TaskExplanation) },
  },
  cancelTask: {
    method: "POST",
    path: `${API_PREFIX}/tasks/{task}/cancel`,
    summary: "Cancel a task",
    tag: "tasks",
    params: task.taskParams,
    body: task.CancelTask,
    bodyOptional: true,
    answers: { 200: json("Decided and durable", task.TaskDetail) },
  },
} as const satisfies Record<string, Route>;
