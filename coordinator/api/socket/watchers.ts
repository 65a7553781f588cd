/**
 * The events WebSocket: one `subscribe` comes in, JSON messages go out. Here is what concerns all of its sockets: how many
 * there are, that they answer, that whoever opened them is still known, and that they are asked about anew, one round at a
 * time, when rights changed.
 */
import type { WebSocket } from "ws";
import { AiravataError } from "../../../shared/error/error.ts";
import { WATCHER_PING_MS, WATCHERS_MAX } from "../../../shared/model/constants.ts";
import type { DispatchEvent } from "../../domain/event/event.ts";
import { encodeEvent } from "../encode.ts";
import type { Caller } from "../http/access.ts";
import { WatcherSocket, type WatcherSources } from "./watcher.ts";

export interface WatcherSockets {
  /** Throws `too_many_connections` before the upgrade is answered. */
  admit(): void;
  accept(socket: WebSocket, caller: Caller): void;
  /** Ends the sockets of those whose login is over. */
  end(isOver: (caller: Caller) => boolean): void;
  /** Ends what its watcher may not see any more; called when rights changed. Until it was asked nothing more is sent. */
  recheck(): void;
  close(): void;
}

/** Events that were just encoded, for the other watchers of the same moment. */
const ENCODED_MAX = 64;
/** Watchers about whom is asked at once, so that a change of rights does not fill the queues of the database and the engine. */
const ASKED_AT_ONCE = 32;
/** A login or token that ran out tells nobody: so long its sockets outlive it at most. */
const RECOGNIZED_EACH_MS = 60_000;
/** Until those are asked about again whose rights could not be asked. */
const RETRY_MS = 2_000;

interface WatcherOptions extends WatcherSources {
  /** Which of these logins and tokens (`Caller.via`) are over. */
  over(vias: ReadonlySet<string>): Promise<ReadonlySet<string>>;
  /** Shorter ones for tests. */
  recognizedEachMs?: number;
  retryMs?: number;
}

export function createWatcherSockets(options: WatcherOptions): WatcherSockets {
  const { log, recognizedEachMs = RECOGNIZED_EACH_MS, retryMs = RETRY_MS } = options;
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
  const end = (isOver: (caller: Caller) => boolean): void => {
    for (const watcher of [...open]) if (isOver(watcher.caller)) watcher.loggedOut();
  };

  let isDue = false;
  let isAsking = false;
  let retrying: NodeJS.Timeout | undefined;
  const ask = async (): Promise<void> => {
    isDue = true;
    if (isAsking) return;
    isAsking = true;
    while (isDue) {
      isDue = false;
      const queue = open.values();
      const askNext = async (): Promise<void> => {
        for (const watcher of queue) await watcher.settle();
      };
      await Promise.all(Array.from({ length: ASKED_AT_ONCE }, askNext));
    }
    isAsking = false;
    clearTimeout(retrying);
    if ([...open].some((watcher) => watcher.isUnsettled)) retrying = setTimeout(ask, retryMs).unref();
  };

  // A laptop that was closed leaves a socket that looks open for hours.
  const pinging = setInterval(() => {
    for (const watcher of open) watcher.ping();
  }, WATCHER_PING_MS);
  pinging.unref();
  let unsure = new Set<string>();
  let isRecognizing = false;
  const recognize = async (): Promise<void> => {
    if (isRecognizing) return;
    isRecognizing = true;
    while (unsure.size > 0) {
      const vias = unsure;
      unsure = new Set();
      try {
        const over = await options.over(vias);
        end(({ via }) => over.has(via));
      } catch (error) {
        log.warn("whether the logins of watchers are over could not be asked; it is asked again", { error });
      }
    }
    isRecognizing = false;
  };
  const recognizing = setInterval(() => {
    for (const { caller } of open) unsure.add(caller.via);
    void recognize();
  }, recognizedEachMs);
  recognizing.unref();
  return {
    admit() {
      if (open.size < WATCHERS_MAX) return;
      throw new AiravataError("too_many_connections", `${WATCHERS_MAX} watchers are connected, which is the bound`);
    },
    accept(socket, caller) {
      const watcher = new WatcherSocket(socket, caller, options, encode, () => open.delete(watcher));
      open.add(watcher);
      // It may have ended on the way here, from the coordinator that knew it.
      unsure.add(caller.via);
      void recognize();
    },
    end,
    recheck() {
      for (const watcher of open) watcher.outdate();
      void ask();
    },
    close() {
      clearInterval(pinging);
      clearInterval(recognizing);
      clearTimeout(retrying);
      for (const watcher of [...open]) watcher.close("the coordinator is shutting down");
    },
  };
}
