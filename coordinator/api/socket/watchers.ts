/**
 * The events WebSocket: one `subscribe` comes in, JSON messages go out. A socket that does not take what it is sent is
 * served later from the ring, by the hub; here is only how full it is.
 */
import type { WebSocket } from "ws";
import { Subscribe, type WatchMessage } from "../../../shared/api/event.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import {
  HELLO_TIMEOUT_MS,
  WATCHER_PING_MS,
  WATCHER_UNSENT_BYTES,
  WATCHERS_MAX,
} from "../../../shared/model/constants.ts";
import type { AgentId, ExperimentId } from "../../../shared/model/ids.ts";
import type { DispatchEvent, EventFilter, EventRights } from "../../domain/event/event.ts";
import type { EventHub, Watcher, WatcherSink } from "../../domain/event/hub.ts";
import { encodeAgent, encodeEvent, encodeExperiment } from "../encode.ts";
import type { Caller } from "../http/access.ts";
import { closeSocket } from "./close.ts";

export interface WatcherSockets {
  /** Throws `too_many_connections` before the upgrade is answered. */
  admit(): void;
  accept(socket: WebSocket, caller: Caller): void;
  /** Ends the sockets of those whose login is over. */
  end(isOver: (caller: Caller) => boolean): void;
  /** Ends what its watcher may not see any more; called when rights changed. */
  recheck(): void;
  close(): void;
}

/** Events that were just encoded, for the other watchers of the same moment. */
const ENCODED_MAX = 64;

export interface WatcherOptions {
  hub: EventHub;
  /** What the caller may see now; null: everything. Throws `unauthorized` when he is not known any more, and what hinders the answer. */
  rights(caller: Caller): Promise<EventRights | null>;
  /** Which of these experiments he may see now. */
  sees(caller: Caller, experiments: Iterable<ExperimentId>): Promise<ReadonlySet<ExperimentId>>;
  log: Logger;
}

export function createWatcherSockets(options: WatcherOptions): WatcherSockets {
  const open = new Set<WatcherSocket>();
  const encoded = new Map<string, string>();
  const encode = (cursor: string, event: DispatchEvent): string => {
    let text = encoded.get(cursor);
    if (text === undefined) {
      text = JSON.stringify(encodeEvent(cursor, event));
      encoded.set(cursor, text);
      if (encoded.size > ENCODED_MAX) encoded.delete(encoded.keys().next().value!);
    }
    return text;
  };
  // A laptop that was closed leaves a socket that looks open for hours.
  const pinging = setInterval(() => {
    for (const watcher of open) watcher.ping();
  }, WATCHER_PING_MS);
  pinging.unref();
  return {
    admit() {
      if (open.size < WATCHERS_MAX) return;
      throw new AiravataError("too_many_connections", `${WATCHERS_MAX} watchers are connected, which is the bound`);
    },
    accept(socket, caller) {
      const watcher = new WatcherSocket(socket, caller, options, encode, () => open.delete(watcher));
      open.add(watcher);
    },
    end(isOver) {
      for (const watcher of [...open]) if (isOver(watcher.caller)) watcher.loggedOut();
    },
    recheck() {
      for (const watcher of open) void watcher.recheck();
    },
    close() {
      clearInterval(pinging);
      for (const watcher of [...open]) watcher.close("the coordinator is shutting down");
    },
  };
}

class WatcherSocket implements WatcherSink {
  private readonly socket: WebSocket;
  readonly caller: Caller;
  private readonly options: WatcherOptions;
  private readonly encode: (cursor: string, event: DispatchEvent) => string;
  private readonly timer: NodeJS.Timeout;
  private watcher: Watcher | undefined;
  private filter: EventFilter | undefined;
  /** Those of the experiments that it named which could be seen. */
  private seen: ReadonlySet<ExperimentId> = new Set();
  private turn = 0;
  private waiting = false;
  private answers = true;

  constructor(
    socket: WebSocket,
    caller: Caller,
    options: WatcherOptions,
    encode: (cursor: string, event: DispatchEvent) => string,
    gone: () => void,
  ) {
    this.socket = socket;
    this.caller = caller;
    this.options = options;
    this.encode = encode;
    socket.on("message", (data, isBinary) => void this.onMessage(data as Buffer, isBinary));
    socket.on("pong", () => {
      this.answers = true;
    });
    socket.on("error", (error) => options.log.debug("a watcher's socket failed", { error }));
    this.timer = setTimeout(() => {
      this.refuse("hello_timeout", `no subscribe came within ${HELLO_TIMEOUT_MS / 1000} s`);
    }, HELLO_TIMEOUT_MS);
    socket.on("close", () => {
      clearTimeout(this.timer);
      this.watcher?.stop();
      gone();
    });
  }

  private async onMessage(data: Buffer, isBinary: boolean): Promise<void> {
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
    const turn = ++this.turn;
    try {
      const rights = await this.options.rights(this.caller);
      const seen = await this.options.sees(this.caller, wanted.experiments ?? []);
      // Another subscribe came, or the socket went, while rights were asked for.
      if (turn !== this.turn || this.socket.readyState !== this.socket.OPEN) return;
      this.filter = { ...wanted, rights };
      checkWanted(this.filter);
      this.seen = seen;
      this.watcher = this.options.hub.watch(this.filter, cursor, this);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Goes on with less, or ends when what was asked for by name is no longer to be seen. */
  async recheck(): Promise<void> {
    const { filter } = this;
    if (filter === undefined) return;
    try {
      const rights = await this.options.rights(this.caller);
      const seen = await this.options.sees(this.caller, this.seen);
      if (this.filter !== filter) return;
      filter.rights = rights;
      checkWanted(filter);
      const gone = [...this.seen].find((experiment) => !seen.has(experiment));
      if (gone === undefined) return;
      throw new AiravataError("experiment_not_found", `there is no experiment ${gone}, or you may not see it any more`);
    } catch (error) {
      // Nothing is in force before it is applied: while it cannot be asked, no right was taken either.
      if (error instanceof AiravataError && error.code === "authorization_unavailable") return;
      this.fail(error);
    }
  }

  loggedOut(): void {
    this.refuse("unauthorized", "your login is over: log in again");
  }

  private fail(error: unknown): void {
    const refused = error instanceof AiravataError;
    if (!refused) this.options.log.error("a watcher could not be served", { error });
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
    const ready = this.socket.bufferedAmount < WATCHER_UNSENT_BYTES;
    if (!ready) this.waiting = true;
    return ready;
  }

  close(reason: string): void {
    closeSocket(this.socket, reason);
  }

  private refuse(code: string, message: string): void {
    this.watcher?.stop();
    this.filter = undefined;
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
