/** Two coordinators on one database behind a plain balancer, and an agent that comes through it. */
import { join } from "node:path";
import type { Health } from "../../shared/api/health.ts";
import { Balancer } from "./balancer.ts";
import { type FaultProcess, until } from "./fault-process.ts";
import { endRunners, FaultStack, listening, type StackOptions } from "./fault-stack.ts";

export interface Coordinating {
  process: FaultProcess;
  url: string;
}

export class Replicas {
  readonly stack: FaultStack;
  readonly coordinators: [Coordinating, Coordinating];
  readonly balancer: Balancer;
  agent!: FaultProcess;
  readonly #agentDir: string;

  private constructor(stack: FaultStack, second: Coordinating, balancer: Balancer) {
    this.stack = stack;
    this.coordinators = [{ process: stack.coordinator, url: stack.url }, second];
    this.balancer = balancer;
    this.#agentDir = join(stack.directory, "behind");
  }

  /** The first one leads. The stack's client, from here on, goes through the balancer. */
  static async with(options: StackOptions, body: (replicas: Replicas) => Promise<void>): Promise<void> {
    await FaultStack.with(options, async (stack) => {
      // It dials the first one by its own address, and would cling to it.
      await stack.agent.kill("SIGTERM");
      const second = stack.newCoordinator("second", 0);
      second.start();
      const url = await listening(second);
      second.command.words.splice(1, 2, "--port", new URL(url).port);
      const balancer = await Balancer.listen([stack.url, url]);
      const replicas = new Replicas(stack, { process: second, url }, balancer);
      stack.url = balancer.url;
      try {
        replicas.agent = await stack.startAgent("behind", replicas.#agentDir, balancer.url);
        await body(replicas);
      } finally {
        balancer.close();
        await replicas.agent?.kill("SIGKILL");
        await endRunners(replicas.#agentDir);
        await second.kill("SIGKILL");
      }
    });
  }

  /** The one that leads, and the other one; waits for it. */
  async roles(): Promise<{ leader: Coordinating; replica: Coordinating }> {
    return until("one leads", async () => {
      const [first, second] = this.coordinators;
      if (await leads(first.url)) return { leader: first, replica: second };
      if (await leads(second.url)) return { leader: second, replica: first };
      return undefined;
    });
  }
}

/** Whether the coordinator says that it leads; false as well when it says nothing within a second. */
export async function leads(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/api/v1/health`, { signal: AbortSignal.timeout(1_000) });
    return answer.ok && ((await answer.json()) as Health).leading;
  } catch {
    return false;
  }
}
