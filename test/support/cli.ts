/** Runs `bin/airavata` as a person or a script does, and waits for what it says. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

export const ROOT = join(import.meta.dirname, "..", "..");
export const AIRAVATA = join(ROOT, "bin", "airavata");

interface CliOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Another program in place of `bin/airavata`. */
  program?: string;
  uid?: number;
  gid?: number;
  /** Standard input; none when silent. */
  input?: string | Buffer;
}

export interface Finished {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A command that runs: what it has said so far, and how to wait for more. */
export class RunningCli {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";
  private over = false;
  private readonly closed: Promise<unknown>;

  constructor(words: string[], options: CliOptions = {}) {
    const { AIRAVATA_SERVER: _s, AIRAVATA_TOKEN: _t, AIRAVATA_DATA_DIR: _d, ...inherited } = process.env;
    this.child = spawn(options.program ?? AIRAVATA, words, {
      env: { ...inherited, NO_COLOR: "1", XDG_CONFIG_HOME: "/nonexistent", ...options.env },
      cwd: options.cwd ?? "/",
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      uid: options.uid,
      gid: options.gid,
    });
    if (options.input !== undefined) this.child.stdin?.end(options.input);
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.child.emit("said");
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.child.emit("said");
    });
    this.closed = once(this.child, "close");
    this.closed.then(() => {
      this.over = true;
      this.child.emit("said");
    });
  }

  /** Resolves when both streams together match; rejects when the process ends without having said it. */
  async said(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.stdout + this.stderr)) {
      if (this.over) {
        const how = this.child.signalCode ?? this.child.exitCode;
        throw new Error(`it ended with ${how} and never said ${pattern}:
${this.stdout}${this.stderr}`);
      }
      await once(this.child, "said");
    }
  }

  async end(): Promise<Finished> {
    await this.closed;
    return { code: this.child.exitCode, signal: this.child.signalCode, stdout: this.stdout, stderr: this.stderr };
  }

  /** For `after` hooks: ends it if it still runs. */
  async kill(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL");
    await this.closed;
  }
}

export function airavata(words: string[], options?: CliOptions): Promise<Finished> {
  return new RunningCli(words, options).end();
}
