/**
 * The dispatcher as the rest of the coordinator sees it (contract.ts): campaigns for leadership, loads, reigns, and begins
 * again whenever a reign ends. While it does not lead, whatever needs leadership is refused with `not_leading`.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { AiravataError } from "../../shared/error/error.ts";
import type { Logger } from "../../shared/log/log.ts";
import { LEADERSHIP_RENEWAL_MS, sessionTiming } from "../../shared/model/constants.ts";
import type { AgentId, ExperimentId, ProjectId } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/time/clock.ts";
import type { AgentPeer, AgentSession, Committed, Dispatcher, Leadership } from "./contract.ts";
import { createCore, type Reply } from "./core.ts";
import { retire } from "./evict.ts";
import { explainTask } from "./explain.ts";
import { experimentFromHistory, ledgerFrom } from "./ledger/snapshot.ts";
import type { LoadedState } from "./load.ts";
import { createLoopFigures, journalLagMs, queueDepths } from "./loop.ts";
import { NO_MUTATIONS } from "./mutations.ts";
import { Deposed, type LeadershipPort, type Reign } from "./ports.ts";
import { Reigning } from "./reigning.ts";
import { agentViews, coreFigures, experimentView, projectViews, taskViews, unfinishedViews } from "./views.ts";

/** Pause before the next campaign after a reign failed, so that a broken database is not hammered. */
const CAMPAIGN_PAUSE_MS = 200;

export interface DispatcherOptions {
  leadership: LeadershipPort;
  clock: Clock;
  /** Uniform in [0, 1). */
  random: () => number;
  log: Logger;
  ttlMs: number;
  infrastructureRetries: number;
  /** Half-life of what projects used; the constant's when left out. */
  shareHalfLifeMs?: number;
  /** History of one ended experiment, to bring it back when somebody retries it; null when there is none. */
  loadEnded: (id: ExperimentId) => Promise<LoadedState | null>;
}

/** Starts campaigning at once. */
export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const stopping = new AbortController();
  const watchers = new Set<(committed: Committed) => void>();
  const leadershipWatchers = new Set<(leadership: Leadership) => void>();
  const forgeryWatchers = new Set<(agent: AgentId, message: string) => void>();
  const figures = createLoopFigures();
  let reigning: Reigning | null = null;
  let detail = "waiting for leadership";
  /** Experiments that are being archived, and those that somebody is bringing back to decide about them. */
  const retiring = new Set<ExperimentId>();
  const reviving = new Map<ExperimentId, number>();

  const announce = (): void => {
    for (const watcher of leadershipWatchers) watcher(leadership());
  };

  // Past its deadline another one may lead already: what a process that was paused remembers is no answer any more.
  const inTime = (): Reigning | null =>
    reigning !== null && options.clock.mono() < reigning.core.leadUntilMono ? reigning : null;

  const leadership = (): Leadership => {
    const core = reigning?.core;
    return {
      leading: inTime() !== null,
      term: core?.config.term ?? 0,
      timeline: core?.config.timeline ?? 0,
      seq: core?.ledger.seq ?? 0,
      detail,
    };
  };

  const publish = (committed: Committed): void => {
    for (const watcher of watchers) {
      try {
        watcher(committed);
      } catch (error) {
        options.log.error("a watcher of committed batches failed", { error });
      }
    }
  };

  const reignOnce = async (reign: Reign): Promise<string> => {
    const startedMono = options.clock.mono();
    const loaded = await whileRenewing(reign, reign.load());
    const ledger = ledgerFrom(loaded);
    // Loading may have taken longer than the deadline; renew before anyone is welcomed.
    const untilMono = await reign.renew();
    // Who stopped meanwhile found no reign to end.
    if (stopping.signal.aborted) return "this coordinator is stopping";
    const { shard, term, timeline } = reign;
    const { random, infrastructureRetries, shareHalfLifeMs } = options;
    const timing = sessionTiming(options.ttlMs);
    const config = {
      shard,
      term,
      timeline,
      timing,
      infrastructureRetries,
      shareHalfLifeMs,
      random,
      mutations: NO_MUTATIONS,
    };
    const now = { mono: options.clock.mono(), wall: options.clock.wall() };
    const { projects: configs = [], usage = [], batches, absences } = loaded;
    const core = createCore(config, ledger, untilMono, now, { configs, usage, batches }, absences);
    const { clock, log } = options;
    const { checkpointSeq } = loaded;
    const forged = (agent: AgentId, message: string): void => {
      for (const watcher of forgeryWatchers) watcher(agent, message);
    };
    reigning = new Reigning({ reign, core, clock, log, figures, checkpointSeq, committed: publish, forged });
    detail = `leading since ${new Date(now.wall).toISOString()}`;
    options.log.info("leading", { term, seq: ledger.seq, loaded_ms: Math.round(options.clock.mono() - startedMono) });
    announce();
    return await reigning.ended;
  };

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      let reign: Reign;
      try {
        reign = await options.leadership.campaign(stopping.signal);
      } catch (error) {
        if (stopping.signal.aborted) return;
        options.log.error("the campaign for leadership failed", { error });
        await sleep(CAMPAIGN_PAUSE_MS);
        continue;
      }
      try {
        const reason = await reignOnce(reign);
        const say = stopping.signal.aborted ? options.log.info : options.log.warn;
        say("stopped leading", { term: reign.term, reason });
        detail = `not leading: ${reason}`;
      } catch (error) {
        options.log.error("the state could not be loaded", { term: reign.term, error });
        detail = `the state could not be loaded: ${error instanceof Error ? error.message : String(error)}`;
      }
      reigning = null;
      announce();
      await reign.resign();
      if (!stopping.signal.aborted) await sleep(CAMPAIGN_PAUSE_MS);
    }
  };
  const running = run();

  const lead = (): Reigning => {
    const reign = inTime();
    if (reign === null) throw notLeading(reigning === null ? detail : "its lease has run out");
    return reign;
  };

  return {
    leadership,
    submit: async (submit) => {
      const reply = accepted(await lead().request((request) => ({ type: "submit", request, submit })));
      if (!("ok" in reply) || reply.ok !== "submitted") throw new Error("a submit was answered with something else");
      return { experiment: reply.experiment, replayed: reply.replayed };
    },
    decide: async (decision) => {
      if (!lead().core.ledger.experiments.has(decision.experiment)) await revive(decision.experiment);
      if (retiring.has(decision.experiment)) throw beingArchived(decision.experiment);
      const reply = accepted(await lead().request((request) => ({ type: "decide", request, decision })));
      if (!("ok" in reply) || reply.ok !== "decided") throw new Error("a decision was answered with something else");
      return { affected: reply.affected };
    },
    attach: (hello, peer, serves) => {
      const reign = inTime();
      if (reign === null) return refuseSession(peer, detail);
      return attachSession(reign, hello, peer, serves);
    },
    revoke: (agent, message) => inTime()?.handle({ type: "revoke", agent, message }),
    onForged: (listener) => listen(forgeryWatchers, listener),
    drain: (agent, reason) => lead().handle({ type: "drain", agent, reason }),
    experiment: (id) => {
      const reign = inTime();
      const experiment = reign?.core.ledger.experiments.get(id);
      return reign !== null && experiment ? experimentView(reign.core, experiment) : undefined;
    },
    unfinished: (projects) => unfinishedViews(lead().core, projects),
    tasks: (id, template, from, to) => {
      const reign = inTime();
      return reign ? taskViews(reign.core, id, template, from, to) : [];
    },
    explain: (id, template, index, seen) => {
      const reign = inTime();
      return reign ? explainTask(reign.core, id, template, index, reign.now(), seen) : [];
    },
    agents: () => {
      const reign = inTime();
      return reign ? agentViews(reign.core, reign.now()) : [];
    },
    configure: (configs) => lead().handle({ type: "projects", configs }),
    projects: () => {
      const reign = lead();
      return projectViews(reign.core, reign.now());
    },
    figures: () => {
      if (!reigning) return {};
      const journalLag = journalLagMs(reigning.core, options.clock.mono()) / 1_000;
      const loop = { journal_lag_seconds: journalLag, checkpoint_lag_appends: reigning.checkpointLag() };
      return { ...coreFigures(reigning.core), ...loop };
    },
    loop: () => figures,
    queues: () => (reigning ? queueDepths(reigning.core) : []),
    retire: (ids) => {
      const { core } = lead();
      const retired = ids.filter((id) => !reviving.has(id) && retire(core, id));
      for (const id of retired) retiring.add(id);
      const done = (): void => {
        for (const id of retired) retiring.delete(id);
      };
      return { term: core.config.term, ids: retired, done };
    },
    checkpoint: async () => {
      await lead().checkpoint();
    },
    subscribe: (listener) => listen(watchers, listener),
    onLeadership: (listener) => listen(leadershipWatchers, listener),
    stop: async () => {
      stopping.abort();
      await reigning?.close("this coordinator is stopping");
      await running;
    },
  };

  /** What is being archived does not come back: this may have read it before, and would put it back after. */
  async function revive(id: ExperimentId): Promise<void> {
    if (retiring.has(id)) throw beingArchived(id);
    reviving.set(id, (reviving.get(id) ?? 0) + 1);
    try {
      const loaded = await options.loadEnded(id);
      const experiment = loaded && experimentFromHistory(loaded, id);
      if (experiment) lead().handle({ type: "revive", experiment });
    } finally {
      const left = (reviving.get(id) ?? 1) - 1;
      if (left > 0) reviving.set(id, left);
      else reviving.delete(id);
    }
  }
}

/** A load may take longer than the lease lasts: another coordinator would take over, and load as long, for ever. */
async function whileRenewing<T>(reign: Reign, work: Promise<T>): Promise<T> {
  // What fails here fails again at the renewal that follows, and is told there.
  const timer = setInterval(() => void reign.renew().catch(() => {}), LEADERSHIP_RENEWAL_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

function listen<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function notLeading(detail: string): AiravataError {
  return new AiravataError("not_leading", `This coordinator does not lead (${detail}); try again in a few seconds.`);
}

function beingArchived(id: ExperimentId): AiravataError {
  return new AiravataError(
    "experiment_archived",
    `experiment ${id} is being archived: nothing about it can change any more`,
  );
}

/** Turns a refused or unanswered request into its error. */
function accepted(reply: Reply | Error): Reply {
  if (reply instanceof Deposed) {
    const message = "This coordinator stopped leading before the request was durable; send it again with the same key.";
    throw new AiravataError("not_leading", message, { cause: reply });
  }
  if (reply instanceof Error) throw reply;
  if ("error" in reply) throw new AiravataError(reply.error, reply.message);
  return reply;
}

function refuseSession(peer: AgentPeer, detail: string): AgentSession {
  peer.send({ type: "error", code: "not_leading", message: `not leading: ${detail}`, reaction: "reconnect" });
  peer.close("not leading");
  return { receive: () => {}, disconnected: () => {} };
}

function attachSession(
  reigning: Reigning,
  hello: Parameters<Dispatcher["attach"]>[0],
  agent: AgentPeer,
  serves: ProjectId | null,
): AgentSession {
  const peer = reigning.connect(agent);
  reigning.handle({ type: "hello", peer, hello, serves });
  return {
    receive: (message) => reigning.handle({ type: "message", peer, message }),
    disconnected: () => reigning.disconnect(peer),
  };
}
