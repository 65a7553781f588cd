/** Runs `bin/airavata` with something on its standard input. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { AIRAVATA, type Finished } from "./cli.ts";

export async function airavataReading(input: string, words: string[], env: NodeJS.ProcessEnv): Promise<Finished> {
  const child = spawn(AIRAVATA, words, { env: { ...process.env, NO_COLOR: "1", ...env }, stdio: "pipe" });
  const said = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => (said[stream] += text));
  }
  // It may end without reading.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  await once(child, "close");
  return { code: child.exitCode, signal: child.signalCode, ...said };
}
