/**
 * One contender in a process of its own, so that memory and collections of one are not another's: takes `round` and
 * `close` from its parent, answers with figures.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { airavata } from "./cycle/airavata.ts";
import { bare } from "./cycle/bare.ts";
import { graphile } from "./cycle/graphile.ts";
import { pgboss } from "./cycle/pgboss.ts";
import { airavataProcesses } from "./process/airavata.ts";
import { spawnLoop } from "./process/spawn-loop.ts";
import { xargsShell, xargsTrue } from "./process/xargs.ts";
import { type Contender, cpuMsOfTree, type Round } from "./report/measure.ts";
import type { Database } from "./system/database.ts";
import { exitOnSignals } from "./system/ending.ts";

/** By name: how to make each. `tasks` is the size of one round. */
const MAKERS = {
  graphile: (database: Database, tasks: number) => graphile(database, tasks),
  pgboss: (database: Database, tasks: number) => pgboss(database, tasks),
  bare: (database: Database, tasks: number) => bare(database, tasks),
  singles: (database: Database, tasks: number) => airavata(database, tasks, "single tasks"),
  array: (database: Database, tasks: number) => airavata(database, tasks, "array"),
  argv: (database: Database, tasks: number) => airavataProcesses(database, tasks, "argv"),
  shell: (database: Database, tasks: number) => airavataProcesses(database, tasks, "shell"),
  spawnLoop: async (_: Database, tasks: number) => spawnLoop(tasks),
  xargsTrue: async (_: Database, tasks: number) => xargsTrue(tasks),
  xargsShell: async (_: Database, tasks: number) => xargsShell(tasks),
} satisfies Record<string, (database: Database, tasks: number) => Promise<Contender>>;

export type ContenderName = keyof typeof MAKERS;

type Request = "round" | "close";
type Answer = { name: string } | { round: Round } | { closed: true } | { error: string };

/** The parent's side: starts the process and waits until it is ready. */
export async function startContender(
  name: ContenderName,
  url: string,
  postmaster: number,
  tasks: number,
): Promise<Contender> {
  const script = fileURLToPath(import.meta.url);
  const child = fork(script, [name, url, String(postmaster), String(tasks)], { execPath: process.execPath });
  const answer = (): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const gone = (code: number | null): void => reject(new Error(`${name} ended with ${code}`));
      child.once("exit", gone);
      child.once("message", (message: Answer) => {
        child.off("exit", gone);
        if ("error" in message) reject(new Error(`${name}: ${message.error}`));
        else resolve(message);
      });
    });
  const ask = (request: Request): Promise<Answer> => {
    child.send(request);
    return answer();
  };
  const ready = await answer();
  return {
    name: "name" in ready ? ready.name : name,
    round: async () => {
      const message = await ask("round");
      if ("round" in message) return message.round;
      throw new Error(`${name} answered a round with something else`);
    },
    close: async () => {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      await ask("close");
      child.disconnect();
      await gone;
    },
  };
}

async function serve(): Promise<void> {
  const [name, url, postmaster, tasks] = process.argv.slice(2) as [ContenderName, string, string, string];
  const refuse = (): never => {
    throw new Error("a contender uses the database that it was given");
  };
  const database: Database = {
    url,
    create: refuse,
    cpuMs: () => cpuMsOfTree(Number(postmaster)),
    postmaster: Number(postmaster),
    stop: refuse,
  };
  exitOnSignals();
  // The parent is gone, or has seen this contender fail.
  process.once("disconnect", () => process.exit(1));
  const tell = (answer: Answer): void => void process.send?.(answer);
  const fail = (error: unknown): void =>
    tell({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  const contender = await MAKERS[name](database, Number(tasks)).catch(fail);
  if (!contender) return;
  process.on("message", (request: Request) => {
    if (request === "round") contender.round().then((round) => tell({ round }), fail);
    else contender.close().then(() => tell({ closed: true }), fail);
  });
  tell({ name: contender.name });
}

if (process.send && process.argv[1] === fileURLToPath(import.meta.url)) await serve();
