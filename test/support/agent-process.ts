/** Starts and ends agents that are processes of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("./agent-main.ts", import.meta.url));

export class AgentProcess {
  readonly child: ChildProcess;
  /** Everything it wrote. */
  output = "";

  constructor(apiUrl: string, outputDir: string, more: Record<string, unknown> = {}) {
    this.child = spawn(process.execPath, [MAIN, JSON.stringify({ apiUrl, outputDir, ...more })], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
  }

  /** Waits until it works; throws what it said when it does not. */
  async started(): Promise<this> {
    while (!this.output.includes("started\n")) {
      if (this.child.exitCode !== null) throw new Error(`the agent ended:\n${this.output}`);
      await Promise.race([once(this.child.stdout as NodeJS.ReadableStream, "data"), once(this.child, "exit")]);
    }
    return this;
  }

  /** Waits until it is gone; its exit code, or the signal that ended it. */
  async gone(): Promise<number | string | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
    return this.child.exitCode ?? this.child.signalCode;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.child.kill(signal);
    await this.gone();
  }
}
