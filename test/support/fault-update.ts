/** A stack whose agent is a program that can be updated, with releases, and what the tests of updates look at. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RolloutDetail } from "../../shared/api/release.ts";
import { installProgram } from "./agent-release.ts";
import { Ledger } from "./fault-ledger.ts";
import { until } from "./fault-process.ts";
import { FaultStack, type StackOptions } from "./fault-stack.ts";

export interface UpdateStack {
  stack: FaultStack;
  /** Of the coordinator. */
  releases: string;
  /** The operator's own file, version 1.0.0. */
  program: string;
}

/** How long agents must work before the next ones go; and how long a program may be silent. */
const SETTLE = "500ms";

export async function withUpdates(options: StackOptions, body: (given: UpdateStack) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "airavata-releases-"));
  const releases = join(directory, "releases");
  const program = join(directory, "airavata");
  await installProgram(program, "1.0.0");
  const { coordinatorWords = [], agentWords = [] } = options;
  try {
    await FaultStack.with(
      {
        ...options,
        agentProgram: options.agentProgram ?? program,
        coordinatorWords: ["--agent-releases", releases, "--update-settle", SETTLE, ...coordinatorWords],
        agentWords: ["--update-trial", "8s", ...agentWords],
      },
      (stack) => body({ stack, releases, program }),
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Tasks that run until they are told to end, each with its lines in a ledger. */
export class HeldTasks {
  readonly #stack: FaultStack;
  readonly #go: string;
  readonly ledger: Ledger;
  readonly tasks: number;
  id = 0;

  constructor(stack: FaultStack, tasks: number, name = "held") {
    this.#stack = stack;
    this.#go = join(stack.directory, `${name}-go`);
    this.ledger = new Ledger(join(stack.directory, `${name}-ledger`));
    this.tasks = tasks;
  }

  /** Submits them and waits until `running` of them run. */
  async begin(running: number, spec: Record<string, unknown> = {}): Promise<this> {
    this.id = await this.#stack.submit({
      ...spec,
      tasks: {
        work: {
          command: Ledger.command(`while [ ! -e "$GO" ]; do sleep 0.05; done`),
          task_inputs: { i: `1..${this.tasks}` },
          requires: { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "1h" },
        },
      },
      resources: { environment: { LEDGER: this.ledger.path, GO: this.#go } },
    });
    await until(`${running} tasks run`, () => this.ledger.lines("begin").size >= running);
    return this;
  }

  finish(): void {
    writeFileSync(this.#go, "");
  }
}

export async function rollOut(stack: FaultStack, version?: string): Promise<number> {
  return (await stack.client.call("beginRollout", { body: { version } })).id;
}

/** Waits for its end. */
export async function rolledOut(stack: FaultStack, rollout: number): Promise<RolloutDetail> {
  return until(`rollout ${rollout} ends`, async () => {
    const found = await stack.client.call("getRollout", { params: { rollout } }).catch(() => undefined);
    return found !== undefined && found.state !== "ACTIVE" && found;
  });
}
