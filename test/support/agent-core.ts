/** Drives the agent's pure core: a clock that moves only when told, and effects as they come. */
import type { AgentEffect, AgentEvent, CoreMessage } from "../../agent/lease/contract.ts";
import { NO_MUTATIONS } from "../../agent/lease/mutations.ts";
import { type AgentState, type CoreOptions, createAgentState } from "../../agent/lease/state.ts";
import { step } from "../../agent/lease/step.ts";
import type { AttemptEnd } from "../../agent/report/end.ts";
import type { AgentId, ExperimentId } from "../../shared/model/ids.ts";
import type { LeasedTemplate, LeaseGroup } from "../../shared/protocol/messages.ts";

const WALL = 1_790_000_000_000;

export class CoreDriver {
  readonly state: AgentState;
  mono = 1_000;
  /** What the wall clock is ahead of the monotonic one. */
  wallOffset = WALL;

  constructor(options: Partial<CoreOptions> = {}) {
    this.state = createAgentState({
      agent: 7 as AgentId,
      name: "node-1",
      program: "1.0.0",
      platform: "linux-x64",
      hostname: "host",
      root: "root",
      capacity: {
        cpus: 2,
        memoryBytes: 2 ** 31,
        gpus: 0,
        vramBytes: 0,
        diskBytes: 2 ** 30,
        custom: {},
        labels: {},
      },
      lanesMax: 16,
      gpuDevices: [],
      lastsUntilMs: null,
      pollIntervalMs: 60_000,
      timeline: 1,
      random: () => 0.5,
      mutations: NO_MUTATIONS,
      ...options,
    });
  }

  get wall(): number {
    return this.mono + this.wallOffset;
  }

  /** One event; the effects that it brought. */
  feed(event: AgentEvent): AgentEffect[] {
    return [...step(this.state, event, { mono: this.mono, wall: this.wall })];
  }

  turn(writable = true): AgentEffect[] {
    return this.feed({ type: "turn", writable });
  }

  receive(message: CoreMessage): AgentEffect[] {
    return this.feed({ type: "received", connection: this.state.connection, message });
  }

  /** Lets time pass. */
  wait(ms: number): this {
    this.mono += ms;
    return this;
  }

  /** From nothing to a session that is ready; the credit of the first turn is swallowed. */
  ready(ttlMs = 20_000): this {
    this.feed({ type: "adopted", running: [], collecting: [], ended: [] });
    return this.session(ttlMs);
  }

  /** A new session on the connection that was asked for. */
  session(ttlMs = 20_000, timeline = 1): this {
    this.feed({ type: "connected", connection: this.state.connection });
    this.receive({ type: "challenge", version: 1, versionOldest: 1, nonce: "nonce", timeline });
    this.receive({ type: "welcome", epoch: 1, timeline, ttlMs, superseded: [] });
    this.turn();
    return this;
  }

  lease(leased: LeasedTemplate, indexes: number[], more: Partial<LeaseGroup> = {}): AgentEffect[] {
    return this.receive({ type: "leases", groups: [leaseGroup(leased, indexes, more)] });
  }

  /** Leases and brings them to their lanes, as far as they fit; the attempts that run. */
  run(leased: LeasedTemplate, indexes: number[], more: Partial<LeaseGroup> = {}): string[] {
    this.lease(leased, indexes, more);
    const running: string[] = [];
    for (let effects = this.turn(); effects.length > 0; effects = this.turn()) {
      for (const effect of effects) {
        if (effect.type === "run") running.push(effect.lease.key);
        if (effect.type === "prepare") this.feed({ type: "prepared", key: effect.lease.key });
      }
    }
    return running;
  }

  end(key: string, more: Partial<AttemptEnd> = {}): AttemptEnd {
    return {
      key,
      outcome: 0,
      blame: 0,
      exitCode: 0,
      signal: 0,
      startedAtMs: this.wall - 5_000,
      endedAtMs: this.wall,
      cpuMs: 5,
      memoryMaxBytes: 4096,
      ...more,
    };
  }
}

function leaseGroup(leased: LeasedTemplate, indexes: number[], more: Partial<LeaseGroup> = {}): LeaseGroup {
  return {
    experiment: 17 as ExperimentId,
    template: leased.definition.ordinal,
    indexes,
    attempts: indexes.map(() => 1),
    leased,
    medianMs: 0,
    ...more,
  };
}

export function attempts(template: number, indexes: number[], numbers = indexes.map(() => 1)) {
  return { experiment: 17 as ExperimentId, template, indexes, attempts: numbers };
}

/** Effects by what matters of them, in order: `run 17.0.3.1`, `send ended`, `connect 500`. */
export function brief(effects: readonly AgentEffect[]): string[] {
  return effects.map((effect) => {
    switch (effect.type) {
      case "prepare":
      case "discard":
        return `${effect.type} ${effect.lease.key}`;
      case "run":
        return `run ${effect.lease.key} lane ${effect.lease.lane}`;
      case "recall":
      case "kill":
        return `${effect.type} ${effect.key}`;
      case "send":
        return `send ${effect.message.type}`;
      case "persist":
        return `persist ${effect.ends.map((end) => end.key).join(" ")}`;
      case "forget":
        return `forget ${effect.keys.join(" ")}`;
      case "publish":
        return `publish ${effect.attempt.template}.${effect.attempt.index}.${effect.attempt.attempt}`;
      case "connect":
        return `connect ${effect.delayMs}`;
      case "note":
        return `note ${effect.code}`;
      case "exit":
        return `exit ${effect.reason}`;
      default:
        return effect.type;
    }
  });
}
