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
import type { DispatchEvent } from "../../domain/event/event.ts";
import type { EventHub, Watcher, WatcherSink } from "../../domain/event/hub.ts";
import { encodeAgent, encodeEvent, encodeExperiment } from "../encode.ts";
import { closeSocket } from "./close.ts";

export interface WatcherSockets {
  /** Throws `too_many_connections` before the upgrade is answered. */
  admit(): void;
  accept(socket: WebSocket): void;
  close(): void;
}

/** Events that were just encoded, for the other watchers of the same moment. */
const ENCODED_MAX = 64;

export function createWatcherSockets(options: { hub: EventHub; log: Logger }): WatcherSockets {
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
    accept(socket) {
      const watcher = new WatcherSocket(socket, options, encode, () => open.delete(watcher));
      open.add(watcher);
    },
    close() {
      clearInterval(pinging);
      for (const watcher of [...open]) watcher.close("the coordinator is shutting down");
    },
  };
}

class WatcherSocket implements WatcherSink {
  private readonly socket: WebSocket;
  private readonly options: { hub: EventHub; log: Logger };
  private readonly encode: (cursor: string, event: DispatchEvent) => string;
  private readonly timer: NodeJS.Timeout;
  private watcher: Watcher | undefined;
  private waiting = false;
  private answers = true;

  constructor(
    socket: WebSocket,
    options: { hub: EventHub; log: Logger },
    encode: (cursor: string, event: DispatchEvent) => string,
    gone: () => void,
  ) {
    this.socket = socket;
    this.options = options;
    this.encode = encode;
    socket.on("message", (data, isBinary) => this.onMessage(data as Buffer, isBinary));
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
    const filter = {
      experiments: experiments ? new Set(experiments as ExperimentId[]) : null,
      project: project ?? null,
      agents: agents ? new Set(agents as AgentId[]) : null,
    };
    try {
      this.watcher = this.options.hub.watch(filter, cursor, this);
    } catch (error) {
      const refused = error instanceof AiravataError;
      if (!refused) this.options.log.error("a watcher could not be served", { error });
      if (refused) this.refuse(error.code, error.message);
      else this.refuse("internal", "the coordinator failed at this; connect again");
    }
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

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
