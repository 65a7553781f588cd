/** The file in which tasks say what they do, read: each execution of a task, and whether it got to its end. */
import { readFileSync } from "node:fs";

export interface Execution {
  /** `EXPERIMENT.TEMPLATE.INDEX`. */
  task: string;
  attempt: number;
  /** Pid and start time: one process, however often pids come round. */
  process: string;
  /** Numbers of its lines in the file, which is in the order of time. */
  beganAt: number;
  endedAt?: number;
  failed: boolean;
}

/** Executions in the order in which they began. */
export function readExecutions(path: string): { executions: Execution[]; nonsense: string[] } {
  const executions: Execution[] = [];
  const open = new Map<string, Execution>();
  const nonsense: string[] = [];
  for (const [at, line] of readFileSync(path, "utf8").split("\n").entries()) {
    if (line === "") continue;
    const [word, task = "", attempt = "", pid = "", start = ""] = line.split(" ");
    const key = `${task} ${attempt} ${pid} ${start}`;
    if (word === "begin" && !open.has(key)) {
      const execution: Execution = {
        task,
        attempt: Number(attempt),
        process: `${pid} ${start}`,
        beganAt: at,
        failed: false,
      };
      open.set(key, execution);
      executions.push(execution);
      continue;
    }
    const execution = open.get(key);
    if (execution === undefined || execution.endedAt !== undefined || (word !== "end" && word !== "fail")) {
      nonsense.push(`line ${at + 1} of the notes makes no sense: ${line}`);
      continue;
    }
    execution.endedAt = at;
    execution.failed = word === "fail";
  }
  return { executions, nonsense };
}
