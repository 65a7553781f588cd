/**
 * One socket of the events: the newest `subscribe` counts, and nothing goes out while it is not known what its watcher may
 * see by now. Rights are asked for by one question at a time; what is superseded meanwhile is not asked to its end. A
 * socket that does not take what it is sent is served later from the ring, by the hub; here is only how full it is.
 */
import type { WebSocket } from "ws";
import { Subscribe, type WatchMessage } from "../../../shared/api/event.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import { HELLO_TIMEOUT_MS, WATCHER_UNSENT_BYTES } from "../../../shared/model/constants.ts";
import type { AgentId, ExperimentId } from "../../../shared/model/ids.ts";
import type { DispatchEvent, EventFilter, EventRights } from "../../domain/event/event.ts";
import type { EventHub, Watcher, WatcherSink } from "../../domain/event/hub.ts";
import { encodeAgent, encodeExperiment } from "../encode.ts";
import type { Caller } from "../http/access.ts";
import { closeSocket } from "./close.ts";

export interface WatcherSources {
  hub: Pick<EventHub, "watch">;
  /** What the caller may see now; null: everything. Throws what hinders the answer. */
  rights(caller: Caller): Promise<EventRights | null>;
  /** Which of these experiments he may see now; not all of them are looked at once nobody wants to know. */
  sees(
    caller: Caller,
    experiments: Iterable<ExperimentId>,
    isWanted: () => boolean,
  ): Promise<ReadonlySet<ExperimentId>>;
  log: Logger;
}

interface Subscription {
  wanted: Omit<EventFilter, "rights">;
  cursor: string | undefined;
  /** Those of the experiments that it named which could be seen. */
  seen: ReadonlySet<ExperimentId>;
  /** How often rights were asked for before it was served. */
  asked: number;
  /** Since it is served. */
  filter: EventFilter | undefined;
}

/** Rights that change at every question are taken as they are, as by a list that is read meanwhile; they are asked for again. */
const ASKED_MAX = 5;

export class WatcherSocket implements WatcherSink {
  private readonly socket: WebSocket;
  readonly caller: Caller;
  private readonly sources: WatcherSources;
  private readonly encode: (cursor: string, event: DispatchEvent) => string;
  private readonly timer: NodeJS.Timeout;
  private watcher: Watcher | undefined;
  private subscription: Subscription | undefined;
  /** Raised when what it may see may have changed; nothing is sent until the answer is as new. */
  private generation = 0;
  private answered = 0;
  private settling: Promise<void> | undefined;
  private waiting = false;
  private answers = true;

  constructor(
    socket: WebSocket,
    caller: Caller,
    sources: WatcherSources,
    encode: (cursor: string, event: DispatchEvent) => string,
    gone: () => void,
  ) {
    this.socket = socket;
    this.caller = caller;
    this.sources = sources;
    this.encode = encode;
    socket.on("message", (data, isBinary) => this.onMessage(data as Buffer, isBinary));
    socket.on("pong", () => {
      this.answers = true;
    });
    socket.on("error", (error) => sources.log.debug("a watcher's socket failed", { error }));
    this.timer = setTimeout(() => {
      this.refuse("hello_timeout", `no subscribe came within ${HELLO_TIMEOUT_MS / 1000} s`);
    }, HELLO_TIMEOUT_MS);
    socket.on("close", () => {
      clearTimeout(this.timer);
      this.watcher?.stop();
      gone();
    });
  }

  private onMessage(data: Buffer, isBinary: boolean): void {
    const subscribe = Subscribe.safeParse(isBinary ? undefined : parseJson(data.toString("utf8")));
    if (!subscribe.success) {
      const issue = subscribe.error.issues[0];
      this.refuse("request_invalid", `expected a subscribe: ${issue?.path.join(".")} ${issue?.message}`);
      return;
    }
    clearTimeout(this.timer);
    this.watcher?.stop();
    const { experiments, project, agents, cursor } = subscribe.data;
    const wanted = {
      experiments: experiments ? new Set(experiments as ExperimentId[]) : null,
      project: project ?? null,
      agents: agents ? new Set(agents as AgentId[]) : null,
    };
    this.subscription = { wanted, cursor, seen: new Set(), asked: 0, filter: undefined };
    void this.settle();
  }

  /** What it may see may have changed: nothing more is sent before it was asked. */
  outdate(): void {
    this.generation++;
  }

  /** Whether rights are to be asked for. */
  get isUnsettled(): boolean {
    if (this.subscription === undefined || this.socket.readyState !== this.socket.OPEN) return false;
    return this.subscription.filter === undefined || this.answered !== this.generation;
  }

  /** Asks for the rights: goes on with less, or ends when what was asked for by name is no longer to be seen. Never rejects. */
  settle(): Promise<void> {
    if (!this.isUnsettled) return Promise.resolve();
    this.settling ??= this.ask();
    return this.settling;
  }

  private async ask(): Promise<void> {
    const { sources, caller } = this;
    try {
      while (this.subscription && this.isUnsettled) {
        const { subscription, generation } = this;
        const isWanted = (): boolean => this.subscription === subscription && this.isUnsettled;
        // One snapshot at a time; and always a turn, so that `settling` is set before this ends.
        await (subscription.filter ? undefined : this.watcher?.idle());
        if (!isWanted()) continue;
        const rights = await sources.rights(caller);
        if (!isWanted()) continue;
        const named = subscription.filter ? subscription.seen : (subscription.wanted.experiments ?? []);
        const seen = await sources.sees(caller, named, isWanted);
        if (!isWanted()) continue;
        subscription.asked++;
        // What is served gets the newer rights, and is asked about once more; what is not served yet waits for the newest.
        const isOutdated = generation !== this.generation;
        if (isOutdated && subscription.filter === undefined && subscription.asked < ASKED_MAX) continue;
        this.answered = generation;
        this.serve(subscription, rights, seen);
      }
    } catch (error) {
      // It is served again when the engine answers: whoever rechecks tries again.
      const isAway = error instanceof AiravataError && error.code === "authorization_unavailable";
      if (!isAway || this.subscription?.filter === undefined) this.fail(error);
    } finally {
      this.settling = undefined;
    }
  }

  private serve(subscription: Subscription, rights: EventRights | null, seen: ReadonlySet<ExperimentId>): void {
    if (subscription.filter === undefined) {
      const filter = { ...subscription.wanted, rights };
      checkWanted(filter);
      subscription.seen = seen;
      subscription.filter = filter;
      this.watcher = this.sources.hub.watch(filter, subscription.cursor, this);
      return;
    }
    subscription.filter.rights = rights;
    checkWanted(subscription.filter);
    const gone = [...subscription.seen].find((experiment) => !seen.has(experiment));
    if (gone !== undefined) {
      throw new AiravataError("experiment_not_found", `there is no experiment ${gone}, or you may not see it any more`);
    }
    this.watcher?.pump();
  }

  loggedOut(): void {
    this.refuse("unauthorized", "your login is over: log in again");
  }

  private fail(error: unknown): void {
    const refused = error instanceof AiravataError;
    if (!refused) this.sources.log.error("a watcher could not be served", { error });
    if (refused) this.refuse(error.code, error.message);
    else this.refuse("internal", "the coordinator failed at this; connect again");
  }

  /** Ends the connection when the last ping was not answered. */
  ping(): void {
    if (!this.answers) this.socket.terminate();
    else if (this.socket.readyState === this.socket.OPEN) this.socket.ping();
    this.answers = false;
  }

  subscribed(cursor: string): void {
    this.send({ type: "subscribed", cursor });
  }

  event(cursor: string, event: DispatchEvent): void {
    this.write(this.encode(cursor, event));
  }

  snapshot(snapshot: Parameters<WatcherSink["snapshot"]>[0]): void {
    const experiments = snapshot.experiments.map(encodeExperiment);
    this.send({ type: "snapshot", ...snapshot, experiments, agents: snapshot.agents.map(encodeAgent) });
  }

  progress(cursor: string, experiments: Parameters<WatcherSink["progress"]>[1]): void {
    this.send({ type: "progress", cursor, experiments: experiments.map(encodeExperiment) });
  }

  ready(): boolean {
    if (this.answered !== this.generation) return false;
    const ready = this.socket.bufferedAmount < WATCHER_UNSENT_BYTES;
    if (!ready) this.waiting = true;
    return ready;
  }

  close(reason: string): void {
    closeSocket(this.socket, reason);
  }

  private refuse(code: string, message: string): void {
    this.watcher?.stop();
    this.subscription = undefined;
    this.send({ type: "error", code, message });
    this.close(message);
  }

  private send(message: WatchMessage): void {
    this.write(JSON.stringify(message));
  }

  private write(text: string): void {
    if (this.socket.readyState === this.socket.OPEN) this.socket.send(text, this.onSent);
  }

  private readonly onSent = (): void => {
    if (!this.waiting || this.socket.bufferedAmount >= WATCHER_UNSENT_BYTES / 2) return;
    this.waiting = false;
    this.watcher?.pump();
  };
}

/** What is asked for by name must be to be seen. A name that nothing has yet is waited for, as ever. */
function checkWanted({ rights, project, agents }: EventFilter): void {
  if (rights === null) return;
  if (project !== null && !rights.projects.has(project)) {
    throw new AiravataError(
      "project_not_found",
      `there is no project "${project.slice(0, 200)}", or you may not see it`,
    );
  }
  for (const agent of agents ?? []) {
    if (rights.agents === null || rights.agents.has(agent)) continue;
    throw new AiravataError("agent_not_found", `there is no agent ${agent}, or you may not see it`);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
