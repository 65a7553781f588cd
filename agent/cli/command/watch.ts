/**
 * Watching an experiment to its end: the progress line, Ctrl-C, and the summary. `run` ends here and `experiment watch`
 * is nothing else. Exit 0 COMPLETED, 1 FAILED or CANCELED, 0 when detached.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "../../../shared/api/client.ts";
import type { ExperimentDetail } from "../../../shared/api/experiment.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { Exit } from "../../../shared/error/exit.ts";
import { localConnection } from "../connect.ts";
import { ProgressDisplay } from "../display.ts";
import { follow } from "../follow.ts";
import { type Connection, type Invocation, printJson } from "../invocation.ts";
import { experimentNumber } from "../name.ts";
import { reviveStack } from "../stack.ts";
import { writeSummary } from "../summary.ts";
import type { Screen } from "../terminal.ts";

/** A second Ctrl-C within this cancels. */
const SECOND_INTERRUPT_MS = 2_000;

export async function watchCommand(invocation: Invocation): Promise<number> {
  const connection = await invocation.connect();
  const experiment = experimentNumber(invocation.args[0]);
  // Asked first, so that one that does not exist is exit 5 and not a silent socket.
  await connection.client.call("getExperiment", { params: { experiment } });
  const watched = await watchToEnd(invocation, connection, experiment);
  return watched === undefined ? Exit.DONE : exitFor(watched.final);
}

export function exitFor(experiment: ExperimentDetail): number {
  return experiment.state === "COMPLETED" ? Exit.DONE : Exit.FAILED;
}

/**
 * Undefined when the person detached; else the final state, after the summary was written. `announcement` is a line that
 * comes first; with `--json` it is not shown.
 */
export async function watchToEnd(
  invocation: Invocation,
  connection: Connection,
  experiment: number,
  announcement = "",
): Promise<{ client: Client; final: ExperimentDetail } | undefined> {
  const { err, json } = invocation;
  // With --json the lines on standard output are the progress.
  const display = new ProgressDisplay(json ? silent(err) : err, invocation.unicode);
  const detached = new AbortController();
  let client = connection.client;
  const interrupts = onInterrupt(async (again) => {
    if (again) {
      display.say("Canceling.");
      await client.call("cancelExperiment", { params: { experiment }, body: { reason: "canceled with Ctrl-C" } });
      return;
    }
    display.say(
      `Detached. Watch it again with "airavata experiment watch ${experiment}".\n` +
        `Ctrl-C again within ${SECOND_INTERRUPT_MS / 1000} s cancels it.`,
    );
    interrupts.whenQuiet(() => detached.abort(new Detached()));
  });
  // Said only now: who reads it may press Ctrl-C at once.
  if (announcement !== "") display.say(announcement);
  try {
    const outcome = await Promise.race([
      interrupts.failed,
      follow({
        client,
        experiment,
        signal: detached.signal,
        onState: (state) => display.show(state),
        onReconnecting: (reconnecting) => display.setReconnecting(reconnecting),
        onEvent: (message) => {
          if (json) printJson(invocation, { event: message.type, ...message, type: undefined });
        },
        find:
          connection.localDataDir === undefined
            ? undefined
            : async () => (client = await findLocal(invocation, client)),
      }),
    ]);
    display.close();
    await writeSummary(invocation, outcome.client, outcome.final, connection.localDataDir);
    return outcome;
  } catch (error) {
    if (error instanceof Detached) return undefined;
    throw error;
  } finally {
    display.close();
    interrupts.stop();
  }
}

class Detached extends Error {}

/**
 * Counts Ctrl-C: `act(false)` for the first, `act(true)` for a second in time, the end of the process for a third.
 * `failed` rejects when `act` does.
 */
function onInterrupt(act: (again: boolean) => Promise<void>): {
  failed: Promise<never>;
  whenQuiet(run: () => void): void;
  stop(): void;
} {
  let firstAtMs: number | undefined;
  let canceling = false;
  let quiet: NodeJS.Timeout | undefined;
  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => {});
  const listener = (): void => {
    if (canceling) process.exit(Exit.FAILED);
    clearTimeout(quiet);
    canceling = firstAtMs !== undefined && performance.now() - firstAtMs <= SECOND_INTERRUPT_MS;
    firstAtMs = performance.now();
    act(canceling).catch(fail);
  };
  process.on("SIGINT", listener);
  return {
    failed,
    whenQuiet: (run) => {
      quiet = setTimeout(run, SECOND_INTERRUPT_MS);
    },
    stop: () => {
      clearTimeout(quiet);
      process.off("SIGINT", listener);
    },
  };
}

/** Where the embedded stack is now; one that was killed is started again, one that somebody ended is waited for. */
async function findLocal(invocation: Invocation, current: Client): Promise<Client> {
  try {
    const stack = await reviveStack(invocation.settings.dataDir, invocation.environment);
    if (stack !== undefined) return (await localConnection(invocation.settings, stack.url)).client;
  } catch (error) {
    // The next look may find it: its database may still be recovering.
    if (!(error instanceof AiravataError) || error.code !== "stack_start_failed") throw error;
  }
  await delay(500);
  return current;
}

function silent(screen: Screen): Screen {
  return { ...screen, columns: 0, isTerminal: false, write: () => {} };
}
