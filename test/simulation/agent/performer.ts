/**
 * Carries out the effects of one process of an agent, and looks at each of them: an end is kept until the coordinator has
 * said the last word about it, what was recalled does not start, no history meets its own future.
 */
import type { AgentEffect } from "../../../agent/lease/contract.ts";
import { type AgentState, type Lease, LeasePhase } from "../../../agent/lease/state.ts";
import type { Outbox } from "../../../agent/report/outbox.ts";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import { attemptKeyText } from "../../../shared/model/ids.ts";
import type { AttemptGroup, EndGroup, FromAgent, ToAgent } from "../../../shared/protocol/messages.ts";
import type { Host } from "./host.ts";

const PREPARE_MS = [0.5, 4] as const;

export class Performer {
  private readonly host: Host;
  private readonly state: AgentState;
  private readonly outbox: Outbox;
  /** Argv and environment stand ready in this process, and in no other one. */
  private readonly prepared = new Set<string>();
  /** Recalled before they were with a runner. */
  private readonly recalled = new Set<string>();
  /** What was told of each attempt last. */
  private readonly told = new Map<string, Outcome>();

  constructor(host: Host, state: AgentState, outbox: Outbox) {
    this.host = host;
    this.state = state;
    this.outbox = outbox;
  }

  /** Notes what a message says, before the core has it. */
  hears(message: ToAgent): void {
    const { runners } = this.host;
    switch (message.type) {
      case "leases":
        for (const key of keysOf(message.groups)) {
          runners.leasedIn.set(key, this.state.challengedTimeline);
          // Another history gives the same numbers again.
          this.recalled.delete(key);
        }
        return;
      case "ack":
        for (const key of keysOf(message.groups)) runners.settled.add(key);
        for (const { group } of message.refused ?? []) for (const key of keysOf([group])) runners.settled.add(key);
        return;
      case "welcome":
        for (const key of keysOf(message.superseded)) runners.settled.add(key);
        if (message.timeline !== this.state.timeline) {
          for (const key of this.state.leases.keys()) runners.settled.add(key);
        }
        return;
      case "recall":
        if (this.state.session !== "ready") return;
        for (const key of keysOf(message.groups)) {
          const lease = this.state.leases.get(key);
          if (lease && lease.phase < LeasePhase.RUNNING) this.recalled.add(key);
        }
    }
  }

  perform(effect: AgentEffect): void {
    const { host } = this;
    const { world, oracle } = host.parts;
    switch (effect.type) {
      case "connect":
        host.process.timer(effect.delayMs, () => host.connect(effect.connection));
        return;
      case "disconnect":
        world.trace(host.name, () => `hangs up: ${effect.reason}`);
        host.connection?.close(host.connection.agent);
        host.connection = null;
        return;
      case "hello":
        host.connection?.toDispatcher({ ...effect.message, proof: "" });
        return;
      case "send":
        this.send(effect.message);
        return;
      case "prepare":
        this.prepare(effect.lease.key);
        return;
      case "discard":
        this.prepared.delete(effect.lease.key);
        return;
      case "run":
        this.run(effect.lease as Lease);
        return;
      case "recall":
        host.runners.recall(effect.key);
        return;
      case "kill":
        world.trace(host.name, () => `kills ${effect.key}: ${effect.reason}`);
        host.runners.kill(effect.key, effect.graceMs);
        return;
      case "persist":
        this.outbox.append(effect.ends);
        return;
      case "forget":
        this.forget(effect.keys);
        return;
      case "publish":
        // What an older history acknowledged was true there.
        if (host.runners.timeline !== oracle.timeline) return;
        oracle.acknowledged(effect.attempt, this.told.get(attemptKeyText(effect.attempt)));
        return;
      case "remember":
        this.remember(effect.timeline);
        return;
      case "note":
        world.trace(host.name, () => `${effect.code}: ${effect.message}`);
        return;
      case "exit":
        world.trace(host.name, () => `leaves: ${effect.reason} ${effect.message}`);
        // What was drained stays away; otherwise its service manager starts it again.
        if (effect.reason === "drained") host.kill();
        else host.die();
    }
  }

  private remember(timeline: number): void {
    const { process, parts, runners } = this.host;
    const deliver = process.inlet();
    void this.outbox.flushed().then((written) => {
      parts.world.after(0, () =>
        deliver(() => {
          if (written) runners.timeline = timeline;
        }),
      );
    });
    // The write may begin at once, without a timer.
    parts.world.settling = true;
  }

  private send(message: FromAgent): void {
    const { host } = this;
    const { connection } = host;
    if (message.type === "free") host.aheadMax = Math.max(host.aheadMax, message.ahead);
    if (message.type === "ended") {
      this.tell(message.groups);
      if (host.dies("agent: reports are sent")) return;
    }
    connection?.toDispatcher(message);
    // The same again: reports may be repeated at any time.
    const { repeating } = host.parts.network;
    if (message.type === "ended" && host.parts.world.random.chance(repeating)) connection?.toDispatcher(message);
  }

  private prepare(key: string): void {
    const { host } = this;
    const { random } = host.parts.world;
    const failed = random.chance(host.parts.preparing.failing);
    host.process.timer(random.between(...PREPARE_MS), () => {
      if (!failed) this.prepared.add(key);
      host.feed(failed ? { type: "prepare_failed", end: this.unprepared(key) } : { type: "prepared", key });
    });
  }

  private run(lease: Lease): void {
    const { host } = this;
    const { key } = lease;
    if (this.recalled.has(key)) host.parts.world.fail("what is recalled does not start", `${host.name} starts ${key}`);
    // As the real ones do: without a command there is nothing to run.
    if (!this.prepared.has(key) || host.dies("agent: before a start")) return;
    host.parts.world.trace(host.name, () => `starts ${key}`);
    host.parts.oracle.started(host.name, lease);
    host.runners.run(lease, lease.of.need);
    host.dies("agent: started, nothing noted");
  }

  private forget(keys: readonly string[]): void {
    const { runners, parts, name } = this.host;
    for (const key of keys) {
      if (runners.hasRun(key) && !runners.settled.has(key)) {
        parts.world.fail("an end is kept until it is acknowledged", `${name} forgets ${key}, which nobody has`);
      }
      runners.forget(key);
    }
    this.outbox.forget(keys);
  }

  private tell(groups: EndGroup[]): void {
    const { host, state } = this;
    for (const group of groups) {
      group.indexes.forEach((index, i) => {
        const key = `${group.experiment}.${group.template}.${index}.${group.attempts[i]}`;
        this.told.set(key, group.outcomes[i] as Outcome);
        const timeline = host.runners.leasedIn.get(key);
        if (timeline === undefined || timeline === state.challengedTimeline) return;
        host.parts.world.fail(
          "no past meets its own future",
          `${host.name} reports ${key} of timeline ${timeline} to timeline ${state.challengedTimeline}`,
        );
      });
    }
  }

  private unprepared(key: string): Extract<Parameters<Host["feed"]>[0], { type: "prepare_failed" }>["end"] {
    const endedAtMs = this.host.process.now().wall;
    const none = { exitCode: -1, signal: 0, startedAtMs: 0, endedAtMs, cpuMs: 0, memoryMaxBytes: 0 };
    return { key, outcome: Outcome.FAILED, blame: Blame.AGENT, ...none };
  }
}

function keysOf(groups: readonly AttemptGroup[]): string[] {
  return groups.flatMap(({ experiment, template, indexes, attempts }) =>
    indexes.map((index, i) => `${experiment}.${template}.${index}.${attempts[i]}`),
  );
}
