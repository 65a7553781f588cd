/** Several coordinators on one database behind a plain balancer, and an agent that comes through it. */
import { join } from "node:path";
import type { Health } from "../../shared/api/health.ts";
import { Balancer } from "./balancer.ts";
import { type FaultProcess, until } from "./fault-process.ts";
import { endRunners, FaultStack, listening, type StackOptions } from "./fault-stack.ts";

export interface Coordinating {
  process: FaultProcess;
  url: string;
}

export interface ReplicasOptions extends StackOptions {
  /** How many; 2 when silent. */
  coordinators?: number;
}

const FURTHER = ["second", "third"];

export class Replicas {
  readonly stack: FaultStack;
  readonly coordinators: Coordinating[];
  readonly balancer: Balancer;
  agent!: FaultProcess;
  readonly agentDir: string;

  private constructor(stack: FaultStack, coordinators: Coordinating[], balancer: Balancer) {
    this.stack = stack;
    this.coordinators = coordinators;
    this.balancer = balancer;
    this.agentDir = join(stack.directory, "behind");
  }

  /** The first one leads. The stack's client, from here on, goes through the balancer. */
  static async with(options: ReplicasOptions, body: (replicas: Replicas) => Promise<void>): Promise<void> {
    await FaultStack.with(options, async (stack) => {
      // It dials the first one by its own address, and would cling to it.
      await stack.agent.kill("SIGTERM");
      const coordinators: Coordinating[] = [{ process: stack.coordinator, url: stack.url }];
      let balancer: Balancer | undefined;
      let replicas: Replicas | undefined;
      try {
        for (const name of FURTHER.slice(0, (options.coordinators ?? 2) - 1)) {
          const process = stack.newCoordinator(name, 0);
          const coordinating = { process, url: "" };
          coordinators.push(coordinating);
          process.start();
          coordinating.url = await listening(process);
          process.command.words.splice(1, 2, "--port", new URL(coordinating.url).port);
        }
        balancer = await Balancer.listen(coordinators.map(({ url }) => url));
        stack.url = balancer.url;
        replicas = new Replicas(stack, coordinators, balancer);
        replicas.agent = await stack.startAgent("behind", replicas.agentDir, balancer.url);
        await body(replicas);
      } finally {
        balancer?.close();
        await replicas?.agent?.kill("SIGKILL");
        if (replicas !== undefined) await endRunners(replicas.agentDir);
        for (const { process } of coordinators) await process.kill("SIGKILL");
      }
    });
  }

  /** The one that leads, and another one; waits for it. */
  async roles(): Promise<{ leader: Coordinating; replica: Coordinating }> {
    return until("one leads", async () => {
      for (const leader of this.coordinators) {
        const replica = this.coordinators.find((other) => other !== leader);
        if (replica !== undefined && (await leads(leader.url))) return { leader, replica };
      }
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
