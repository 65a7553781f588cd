/**
 * What the soak breaks: PostgreSQL; two coordinators, each behind a link of its own to PostgreSQL; a balancer in front of
 * both; agents, each behind a link of its own to the balancer. All are processes, and all of it is on this machine.
 */
import { join } from "node:path";
import { type Client, createClient } from "../../../shared/api/client.ts";
import { Balancer } from "../../support/balancer.ts";
import { FaultLink } from "../../support/fault-link.ts";
import { type FaultProcess, until } from "../../support/fault-process.ts";
import { endRunners, FaultStack, listening } from "../../support/fault-stack.ts";

/** Short, so that links that are down for a while cost sessions. */
const SESSION_TTL_MS = 5_000;
/** Above what a submit takes while one of the two is paused, below what a hang takes. */
const CLIENT_TIMEOUT_MS = 10_000;

/** One process and the link through which it reaches what it depends on. */
export interface Part {
  name: string;
  process: FaultProcess;
  link: FaultLink;
}

export interface SoakAgent extends Part {
  /** As the journal knows it. */
  id: number;
  outputDir: string;
}

export interface World {
  stack: FaultStack;
  coordinators: Part[];
  agents: SoakAgent[];
  /** Through the balancer. */
  client: Client;
  sessionTtlMs: number;
}

export interface WorldOptions {
  agents: number;
  lanes: number;
}

/** Starts all of it, and ends it after `body`; the directory stays when that fails. */
export async function withWorld(options: WorldOptions, body: (world: World) => Promise<void>): Promise<void> {
  const closers: (() => unknown)[] = [];
  const stackOptions = { cpus: options.lanes, sessionTtl: `${SESSION_TTL_MS / 1_000}s` };
  await FaultStack.with(stackOptions, async (stack) => {
    try {
      // The stack's own coordinator and agent know nothing of links.
      await stack.agent.kill("SIGTERM");
      await stack.coordinator.kill("SIGTERM");
      const coordinators: Part[] = [];
      for (const name of ["first", "second"]) {
        const { link, url } = await FaultLink.toDatabase(stack.databaseUrl);
        closers.push(() => link.close());
        const process = stack.newCoordinator(name, 0);
        process.command.env.DATABASE_URL = url;
        process.start();
        closers.push(() => process.kill("SIGKILL"));
        const port = new URL(await listening(process)).port;
        process.command.words.splice(1, 2, "--port", port);
        coordinators.push({ name, process, link });
      }
      const balancer = await Balancer.listen(coordinators.map(urlOf));
      closers.push(() => balancer.close());
      stack.url = balancer.url;
      await until(
        "one leads",
        async () => (await stack.client.call("listAgents", { query: {} }).catch(() => null)) !== null,
      );
      const agents: SoakAgent[] = [];
      for (let i = 0; i < options.agents; i++) {
        const link = await FaultLink.listen(Number(new URL(balancer.url).port));
        closers.push(() => link.close());
        const name = `agent${i}`;
        const outputDir = join(stack.directory, name);
        closers.push(() => endRunners(outputDir));
        const process = await stack.startAgent(name, outputDir, link.url);
        closers.push(() => process.kill("SIGKILL"));
        const record = await stack.agentRecord(name);
        agents.push({ name, process, link, outputDir, id: record?.id ?? 0 });
      }
      const { token } = stack.client;
      const client = createClient({ server: balancer.url, token: token as string, timeoutMs: CLIENT_TIMEOUT_MS });
      await body({ stack, coordinators, agents, client, sessionTtlMs: SESSION_TTL_MS });
    } finally {
      for (const close of closers.reverse()) await close();
    }
  });
}

function urlOf({ process }: Part): string {
  return `http://127.0.0.1:${process.command.words[2]}`;
}
