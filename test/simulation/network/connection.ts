/**
 * Connections between an agent and a dispatcher: ordered both ways, with latency, cuts of the link that delay what was
 * sent, breaks that lose what was under way, and half-open ends that nobody is told about.
 */
import type { FromAgent, ToAgent } from "../../../shared/protocol/messages.ts";
import type { Process } from "../engine/process.ts";
import type { World } from "../engine/world.ts";

const LATENCY_MS = [0.2, 8] as const;
/** After a cut, TCP sends again within this. */
const RESEND_MS_MAX = 1_000;

interface End {
  process: Process;
  deliver: (handle: () => void) => void;
  open: boolean;
  receive: (message: never) => void;
  disconnected: () => void;
  /** When the last thing arrives there: order is kept. */
  arrivesMs: number;
}

export class Connection {
  readonly agent: End;
  readonly dispatcher: End;
  private readonly network: Network;
  private readonly latencyMs: number;
  private waiting: [to: End, arrive: () => void][] = [];
  private silent = false;
  /** Not even what has arrived is read. */
  private unread = false;

  constructor(network: Network, agent: Process, dispatcher: Process) {
    this.network = network;
    this.latencyMs = network.world.random.between(...LATENCY_MS);
    const end = (process: Process): End => ({
      process,
      deliver: process.inlet(() => agent.machine === dispatcher.machine),
      open: true,
      receive: () => {},
      disconnected: () => {},
      arrivesMs: 0,
    });
    this.agent = end(agent);
    this.dispatcher = end(dispatcher);
  }

  /** Opens it: `accepted` at the dispatcher, then `opened` at the agent; refused where nobody listens. */
  open(accepted: () => void, opened: () => void): void {
    const { agent, dispatcher } = this;
    const refuse = (): void => {
      dispatcher.open = false;
      this.carry(agent, () => this.hangUp(agent));
    };
    if (!dispatcher.process.alive) {
      refuse();
      return;
    }
    // The kernel accepts for a process that is stopped; the process sees it later.
    this.carry(dispatcher, accepted);
    this.carry(agent, () => agent.open && opened());
  }

  toDispatcher(message: FromAgent): void {
    this.send(this.agent, this.dispatcher, () => this.dispatcher.receive(message as never));
  }

  toAgent(message: ToAgent): void {
    this.send(this.dispatcher, this.agent, () => this.agent.receive(message as never));
  }

  private send(from: End, to: End, arrive: () => void): void {
    if (from.open) this.carry(to, () => to.open && arrive());
  }

  /** Ends one side; the other one hears of it after what was sent before. */
  close(from: End): void {
    if (!from.open) return;
    from.open = false;
    const to = from === this.agent ? this.dispatcher : this.agent;
    this.carry(to, () => this.hangUp(to));
  }

  private hangUp(end: End): void {
    if (!end.open) return;
    end.open = false;
    end.disconnected();
  }

  private carry(to: End, arrive: () => void, delayMs = 0): void {
    if (this.silent) return;
    const way = to === this.dispatcher ? "up" : "down";
    if (this.network.isCut(this, way)) {
      this.waiting.push([to, arrive]);
      return;
    }
    const { world } = this.network;
    delayMs += this.network.slownessMs(this, way);
    const jitterMs = world.random.between(0, this.latencyMs);
    to.arrivesMs = Math.max(to.arrivesMs, world.nowMs + this.latencyMs + jitterMs + delayMs);
    world.after(to.arrivesMs - world.nowMs, () => {
      to.deliver(() => {
        if (!this.unread) arrive();
      });
    });
  }

  healed(): void {
    const { waiting } = this;
    this.waiting = [];
    const delayMs = this.network.world.random.between(0, RESEND_MS_MAX);
    for (const [to, arrive] of waiting) this.carry(to, arrive, delayMs);
  }

  /** Something between them resets it: what is under way is lost, each side hears of it in its own time. */
  reset(): void {
    this.silent = true;
    for (const end of [this.agent, this.dispatcher]) {
      this.network.world.after(this.network.world.random.between(0, 500), () => end.deliver(() => this.hangUp(end)));
    }
  }

  /** Something between them forgets it: neither side hears anything any more. */
  vanish(): void {
    this.silent = true;
  }

  /** As if it had never been. */
  undo(): void {
    this.silent = this.unread = true;
  }

  /** Both sides believe in it, and it carries. */
  get carries(): boolean {
    return this.agent.open && this.dispatcher.open && !this.silent;
  }

  get dead(): boolean {
    return !this.agent.open && !this.dispatcher.open;
  }
}

/** To the dispatcher, or from it. */
export type Way = "up" | "down";

function linkName(agent: Process, dispatcher: Process, way: Way): string {
  return `${agent.name} ${dispatcher.name} ${way}`;
}

export class Network {
  readonly world: World;
  connections: Connection[] = [];
  /** Chance that a report is sent twice. */
  repeating = 0;
  private readonly cuts = new Map<string, number>();
  private readonly slow = new Map<string, number>();

  constructor(world: World) {
    this.world = world;
  }

  connect(agent: Process, dispatcher: Process): Connection {
    const connection = new Connection(this, agent, dispatcher);
    if (this.connections.length > 64) this.connections = this.connections.filter((other) => !other.dead);
    this.connections.push(connection);
    return connection;
  }

  isCut({ agent, dispatcher }: Connection, way: Way): boolean {
    return (this.cuts.get(linkName(agent.process, dispatcher.process, way)) ?? 0) > 0;
  }

  /** Cuts the link of an agent to a dispatcher, or one way of it. */
  cut(agent: Process, dispatcher: Process, durationMs: number, ways: readonly Way[] = ["up", "down"]): void {
    for (const way of ways) {
      const name = linkName(agent, dispatcher, way);
      this.world.trace("network", () => `link ${name} is cut for ${Math.round(durationMs)} ms`);
      this.cuts.set(name, (this.cuts.get(name) ?? 0) + 1);
      this.world.after(durationMs, () => {
        const left = (this.cuts.get(name) ?? 1) - 1;
        this.cuts.set(name, left);
        if (left > 0) return;
        for (const connection of this.connections) {
          if (connection.agent.process === agent && connection.dispatcher.process === dispatcher) connection.healed();
        }
      });
    }
  }

  slownessMs({ agent, dispatcher }: Connection, way: Way): number {
    return this.slow.get(linkName(agent.process, dispatcher.process, way)) ?? 0;
  }

  /** One way of a link takes longer for a while. */
  slowDown(agent: Process, dispatcher: Process, way: Way, byMs: number, durationMs: number): void {
    const name = linkName(agent, dispatcher, way);
    this.world.trace("network", () => `link ${name} is slower by ${Math.round(byMs)} ms`);
    this.slow.set(name, byMs);
    this.world.after(durationMs, () => this.slow.delete(name));
  }

  /** The kernel of a host that lives on closes what its dead process had open. */
  processDied(process: Process): void {
    for (const connection of this.connections) {
      if (connection.agent.process === process) connection.close(connection.agent);
      if (connection.dispatcher.process === process) connection.close(connection.dispatcher);
    }
  }

  /** Before a backup is restored: whatever was under way, or waits to be read, was said in another history. */
  undoAll(): void {
    for (const connection of this.connections) connection.undo();
  }

  /** A host that is gone says nothing to anybody. */
  hostDied(process: Process): void {
    for (const connection of this.connections) {
      if (connection.agent.process === process || connection.dispatcher.process === process) connection.vanish();
    }
  }
}
